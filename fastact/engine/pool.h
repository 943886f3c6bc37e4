/* The threads that help with a call: they sleep until there is work, and take pieces of one call at a time.

Whoever calls never waits for a helper that has not begun. So a call beside busy neighbours takes about as long as alone, where OpenMP
waits until each thread of its team has had a processor, up to some milliseconds. Helpers round as the caller does, on x86. */

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

typedef void (*fa_span)(void *context, ptrdiff_t start, ptrdiff_t stop);

enum {
    FA_AWAKE = 2000000,  /* nanoseconds that a helper looks for work before it sleeps: to wake it up takes some 30,000 */
    FA_MOMENT = 500000,  /* nanoseconds between two calls that are worth waking helpers together, and neither alone */
    FA_LOOKS = 64,       /* looks between two offers of the processor to others */
    FA_PATIENCE = 200,   /* looks of the caller for the last pieces, before it offers its processor to who has them ... */
    FA_OFFERS = 5000,    /* ... and offers, before it sleeps for a moment, which leaves it to threads of less priority too */
    FA_STACK = 1 << 21,  /* bytes; kernels keep blocks of up to some 250,000 */
    FA_TEAM = 1024,      /* threads at most */
    FA_PIECE_BITS = 20, FA_TEAM_BITS = 12  /* of the ticket: a call has at most 2**20 - 1 pieces */
};

static struct {
    pthread_mutex_t caller;      /* held by the call that has the pool */
    int helpers;                 /* started; members 1, 2, ... of a team, whose member 0 is the caller */
    uint64_t ticket;             /* a number for each call, the size of its team, and the pieces that nobody has taken */
    ptrdiff_t unfinished;        /* pieces */
    fa_span function;            /* the call itself: written when nothing is left of the one before, read by who has taken a piece */
    void *context;
    ptrdiff_t n, piece, pieces;
    unsigned int control;        /* how the caller's processor rounds */
} fa_pool = {PTHREAD_MUTEX_INITIALIZER};

static struct {
    sem_t bell;
    int asleep;                  /* set by the helper; who clears it has to ring, unless it is the helper itself */
    char apart[64 - (sizeof(sem_t) + sizeof(int)) % 64];
} fa_helpers[FA_TEAM];

static inline void fa_pause(void) {
#if defined(__SSE2__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline int fa_team(uint64_t ticket) {
    return (int)(ticket >> FA_PIECE_BITS & ((1 << FA_TEAM_BITS) - 1));
}

static inline ptrdiff_t fa_left(uint64_t ticket, int member) {
    /* The pieces that a member of the team may take; none for other helpers. */
    return member < fa_team(ticket) ? (ptrdiff_t)(ticket & ((1 << FA_PIECE_BITS) - 1)) : 0;
}

static inline int fa_work(int member) {
    return fa_left(__atomic_load_n(&fa_pool.ticket, __ATOMIC_SEQ_CST), member) > 0;
}

static void fa_wake(int member) {
    /* Wake the two helpers that a member of the team has to wake; they go on. */
    int team = fa_team(__atomic_load_n(&fa_pool.ticket, __ATOMIC_SEQ_CST)), next;
    for (next = 2 * member + 1; next <= 2 * member + 2 && next < team; next++)
        if (__atomic_load_n(&fa_helpers[next].asleep, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&fa_helpers[next].asleep, 0, __ATOMIC_SEQ_CST))
            sem_post(&fa_helpers[next].bell);
}

static int fa_take(int member) {
    /* Compute a piece; false where none is left. A ticket that another call has replaced cannot be taken. */
    uint64_t ticket = __atomic_load_n(&fa_pool.ticket, __ATOMIC_ACQUIRE);
    ptrdiff_t start, stop;
    do {
        if (!fa_left(ticket, member)) return 0;
    } while (!__atomic_compare_exchange_n(&fa_pool.ticket, &ticket, ticket - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    start = (fa_pool.pieces - fa_left(ticket, member)) * fa_pool.piece;
    stop = fa_pool.n - start > fa_pool.piece ? start + fa_pool.piece : fa_pool.n;
#ifdef __SSE2__
    if (member) _mm_setcsr(fa_pool.control);
#endif
    fa_pool.function(fa_pool.context, start, stop);
    __atomic_sub_fetch(&fa_pool.unfinished, 1, __ATOMIC_RELEASE);
    return 1;
}

static int64_t fa_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

static int fa_look(int member) {
    /* Look for work for a while; false where there is none. */
    int64_t since = fa_clock();
    int look;
    do {
        for (look = 0; look < FA_LOOKS; look++) {
            if (fa_work(member)) return 1;
            fa_pause();
        }
        sched_yield();  /* the caller may want this processor */
    } while (fa_clock() - since < FA_AWAKE);
    return 0;
}

static void fa_sleep(int member) {
    /* Sleep until somebody rings. First the flag, then a last look at the ticket: a caller does it the other way round. */
    __atomic_store_n(&fa_helpers[member].asleep, 1, __ATOMIC_SEQ_CST);
    if (fa_work(member) && __atomic_exchange_n(&fa_helpers[member].asleep, 0, __ATOMIC_SEQ_CST)) return;
    while (sem_wait(&fa_helpers[member].bell)) {}
}

static void *fa_help(void *argument) {
    int member = (int)(intptr_t)argument;
    for (;;) {
        if (!fa_look(member)) fa_sleep(member);
        fa_wake(member);
        while (fa_take(member)) {}
    }
    return NULL;
}

static int fa_hire(void) {
    /* Start one more helper, which takes no signals from Python's main thread but those of its own faults. */
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t most, before;
    int failed, member = fa_pool.helpers + 1;
    if (member >= FA_TEAM || sem_init(&fa_helpers[member].bell, 0, 0) || pthread_attr_init(&attributes)) return 0;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, FA_STACK);
    sigfillset(&most);
    sigdelset(&most, SIGSEGV);
    sigdelset(&most, SIGBUS);
    sigdelset(&most, SIGFPE);
    sigdelset(&most, SIGILL);
    pthread_sigmask(SIG_SETMASK, &most, &before);
    failed = pthread_create(&thread, &attributes, fa_help, (void *)(intptr_t)member);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!failed) __atomic_store_n(&fa_pool.helpers, member, __ATOMIC_RELAXED);
    return !failed;
}

static void fa_finish(void) {
    /* Wait for the pieces that helpers have begun. */
    struct timespec moment = {0, 50000};
    for (int look = 0; __atomic_load_n(&fa_pool.unfinished, __ATOMIC_ACQUIRE); look++) {
        if (look < FA_PATIENCE) fa_pause();
        else if (look < FA_PATIENCE + FA_OFFERS) sched_yield();
        else nanosleep(&moment, NULL);
    }
}

static int fa_at_hand(void) {
    /* Whether helpers look for work, or should be woken for a short call: one a moment ago wanted them too, as more may. */
    static int64_t wanted;
    int64_t now;
    if (__atomic_load_n(&fa_pool.helpers, __ATOMIC_RELAXED) && !__atomic_load_n(&fa_helpers[1].asleep, __ATOMIC_RELAXED)) return 1;
    now = fa_clock();
    return now - __atomic_exchange_n(&wanted, now, __ATOMIC_RELAXED) < FA_MOMENT;
}

static int fa_share(fa_span function, void *context, ptrdiff_t n, ptrdiff_t piece, int team) {
    /* Call `function` on pieces that cover 0..n, with up to team - 1 helpers. False, and nothing is done, where they serve another call. */
    uint64_t number;
    if (pthread_mutex_trylock(&fa_pool.caller)) return 0;
    while (fa_pool.helpers < team - 1 && fa_hire()) {}
    fa_pool.function = function;
    fa_pool.context = context;
    fa_pool.n = n;
    fa_pool.piece = piece;
    fa_pool.pieces = (n + piece - 1) / piece;
#ifdef __SSE2__
    fa_pool.control = _mm_getcsr();
#endif
    __atomic_store_n(&fa_pool.unfinished, fa_pool.pieces, __ATOMIC_RELAXED);
    number = (__atomic_load_n(&fa_pool.ticket, __ATOMIC_RELAXED) >> (FA_PIECE_BITS + FA_TEAM_BITS)) + 1;
    number = (number << FA_TEAM_BITS | (uint64_t)team) << FA_PIECE_BITS | (uint64_t)fa_pool.pieces;
    __atomic_store_n(&fa_pool.ticket, number, __ATOMIC_SEQ_CST);
    fa_wake(0);
    while (fa_take(0)) {}
    fa_finish();
    pthread_mutex_unlock(&fa_pool.caller);
    return 1;
}

static void fa_forget(void) {
    /* In the child of a fork, where no helper lives on and another thread may have held the pool: begin anew. */
    static const pthread_mutex_t free_mutex = PTHREAD_MUTEX_INITIALIZER;
    memset(&fa_pool, 0, sizeof fa_pool);
    memset(fa_helpers, 0, sizeof fa_helpers);
    fa_pool.caller = free_mutex;
}
