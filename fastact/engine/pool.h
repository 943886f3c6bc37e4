/* The threads that help with a call: they sleep until there is work, and take pieces of one call at a time.

Each takes those of its own part of the array first, which it met in the call before too and has in its cache, and then what others
have left. Whoever calls never waits for a helper that has not begun. So a call beside busy neighbours takes about as long as alone, where OpenMP
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
    FA_NUMBER = 32       /* where the number of a call begins, in its ticket and in its parts */
};

static struct {
    pthread_mutex_t caller;      /* held by the call that has the pool */
    int helpers;                 /* started; members 1, 2, ... of a team, whose member 0 is the caller */
    uint64_t ticket;             /* a number for each call, and the size of its team */
    ptrdiff_t unfinished;        /* pieces */
    fa_span function;            /* the call itself: written when nothing is left of the one before, read by who has taken a piece */
    void *context;
    ptrdiff_t n, piece, pieces;
    unsigned int control;        /* how the caller's processor rounds */
} fa_pool = {PTHREAD_MUTEX_INITIALIZER};

static struct {
    uint64_t part;               /* the number of the call, and the pieces of the member's part that nobody has taken */
    sem_t bell;
    int asleep;                  /* set by the helper; who clears it has to ring, unless it is the helper itself */
    char apart[128 - (sizeof(uint64_t) + sizeof(sem_t) + sizeof(int)) % 64];
} fa_members[FA_TEAM];

static inline void fa_pause(void) {
#if defined(__SSE2__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline uint64_t fa_ticket(void) {
    return __atomic_load_n(&fa_pool.ticket, __ATOMIC_SEQ_CST);
}

static inline ptrdiff_t fa_low(uint64_t word) {
    /* The size of a ticket's team, or the pieces left of a part. */
    return (ptrdiff_t)(word & (((uint64_t)1 << FA_NUMBER) - 1));
}

static inline ptrdiff_t fa_first(int member, int team) {
    /* The first piece of a member's part. */
    return fa_pool.pieces / team * member + (fa_pool.pieces % team) * member / team;
}

static void fa_wake(int member) {
    /* Wake the two helpers that a member of the team has to wake; they go on. */
    int team = (int)fa_low(fa_ticket()), next;
    for (next = 2 * member + 1; next <= 2 * member + 2 && next < team; next++)
        if (__atomic_load_n(&fa_members[next].asleep, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&fa_members[next].asleep, 0, __ATOMIC_SEQ_CST))
            sem_post(&fa_members[next].bell);
}

static int fa_take(uint64_t ticket, int owner) {
    /* Compute a piece of a member's part; false where none is left, or another call has begun: the number in the part tells. */
    int team = (int)fa_low(ticket);
    uint64_t part = __atomic_load_n(&fa_members[owner].part, __ATOMIC_ACQUIRE);
    ptrdiff_t start, stop;
    do {
        if (part >> FA_NUMBER != ticket >> FA_NUMBER || !fa_low(part)) return 0;
    } while (!__atomic_compare_exchange_n(&fa_members[owner].part, &part, part - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    start = (fa_first(owner + 1, team) - fa_low(part)) * fa_pool.piece;
    stop = fa_pool.n - start > fa_pool.piece ? start + fa_pool.piece : fa_pool.n;
#ifdef __SSE2__
    _mm_setcsr(fa_pool.control);
#endif
    fa_pool.function(fa_pool.context, start, stop);
    __atomic_sub_fetch(&fa_pool.unfinished, 1, __ATOMIC_RELEASE);
    return 1;
}

static void fa_join(uint64_t ticket, int member) {
    /* Take what is left of one's own part, then of the others'. */
    int team = (int)fa_low(ticket), i;
    for (i = 0; i < team; i++)
        while (fa_take(ticket, (member + i) % team)) {}
}

static int64_t fa_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

static int fa_called(int member, uint64_t before) {
    /* Whether there is another call than before, with this member in its team. */
    uint64_t ticket = fa_ticket();
    return ticket != before && member < fa_low(ticket);
}

static int fa_look(int member, uint64_t before) {
    /* Look for work for a while; false where there is none. */
    int64_t since = fa_clock();
    int look;
    do {
        for (look = 0; look < FA_LOOKS; look++) {
            if (fa_called(member, before)) return 1;
            fa_pause();
        }
        sched_yield();  /* the caller may want this processor */
    } while (fa_clock() - since < FA_AWAKE);
    return 0;
}

static void fa_sleep(int member, uint64_t before) {
    /* Sleep until somebody rings. First the flag, then a last look at the ticket: a caller does it the other way round. */
    __atomic_store_n(&fa_members[member].asleep, 1, __ATOMIC_SEQ_CST);
    if (fa_called(member, before) && __atomic_exchange_n(&fa_members[member].asleep, 0, __ATOMIC_SEQ_CST)) return;
    while (sem_wait(&fa_members[member].bell)) {}
}

static void *fa_help(void *argument) {
    int member = (int)(intptr_t)argument;
    uint64_t ticket = 0;
    for (;;) {
        if (!fa_look(member, ticket)) fa_sleep(member, ticket);
        ticket = fa_ticket();
        fa_wake(member);
        if (member < fa_low(ticket)) fa_join(ticket, member);
    }
    return NULL;
}

static int fa_hire(void) {
    /* Start one more helper, which takes no signals from Python's main thread but those of its own faults. */
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t most, before;
    int failed, member = fa_pool.helpers + 1;
    if (member >= FA_TEAM || sem_init(&fa_members[member].bell, 0, 0) || pthread_attr_init(&attributes)) return 0;
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
    if (__atomic_load_n(&fa_pool.helpers, __ATOMIC_RELAXED) && !__atomic_load_n(&fa_members[1].asleep, __ATOMIC_RELAXED)) return 1;
    now = fa_clock();
    return now - __atomic_exchange_n(&wanted, now, __ATOMIC_RELAXED) < FA_MOMENT;
}

static int fa_share(fa_span function, void *context, ptrdiff_t n, ptrdiff_t piece, int team) {
    /* Call `function` on pieces that cover 0..n, with up to team - 1 helpers. False, and nothing is done, where they serve another call. */
    uint64_t number;
    int member;
    if (pthread_mutex_trylock(&fa_pool.caller)) return 0;
    if (team > FA_TEAM) team = FA_TEAM;
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
    number = ((fa_ticket() >> FA_NUMBER) + 1) << FA_NUMBER;
    for (member = 0; member < team; member++)
        __atomic_store_n(&fa_members[member].part, number | (uint64_t)(fa_first(member + 1, team) - fa_first(member, team)), __ATOMIC_RELEASE);
    __atomic_store_n(&fa_pool.ticket, number | (uint64_t)team, __ATOMIC_SEQ_CST);
    fa_wake(0);
    fa_join(number | (uint64_t)team, 0);
    fa_finish();
    pthread_mutex_unlock(&fa_pool.caller);
    return 1;
}

static void fa_forget(void) {
    /* In the child of a fork, where no helper lives on and another thread may have held the pool: begin anew. */
    static const pthread_mutex_t free_mutex = PTHREAD_MUTEX_INITIALIZER;
    memset(&fa_pool, 0, sizeof fa_pool);
    memset(fa_members, 0, sizeof fa_members);
    fa_pool.caller = free_mutex;
}
