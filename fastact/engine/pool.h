/* The threads that help with a call: they sleep until there is work, and take pieces of one call at a time.

Whoever calls never waits for a helper that has not begun. So a call beside busy neighbours takes about as long as alone, where OpenMP
waits until each thread of its team has had a processor, up to some milliseconds. */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

typedef void (*fa_span)(void *context, ptrdiff_t start, ptrdiff_t stop);

enum {
    FA_AWAKE = 100000,   /* nanoseconds that a helper looks for work before it sleeps: to wake it takes about 50,000 */
    FA_LOOKS = 64,       /* looks between two offers of the processor to others */
    FA_PATIENCE = 200,   /* looks of the caller for the last pieces, before it offers its processor to who has them */
    FA_STACK = 1 << 21,  /* bytes; kernels keep blocks of some 10,000 */
    FA_PIECE_BITS = 20, FA_TEAM_BITS = 12
};

static struct {
    pthread_mutex_t caller;      /* held by the call that has the pool */
    pthread_mutex_t door;        /* held to fall asleep and to wake others */
    pthread_cond_t bell;
    int helpers, sleeping;
    uint64_t ticket;             /* a number for each call, the size of its team, and the pieces that nobody has taken */
    ptrdiff_t unfinished;        /* pieces */
    fa_span function;            /* the call itself: written when nothing is left of the one before, read by who has taken a piece */
    void *context;
    ptrdiff_t n, piece, pieces;
    unsigned int control;        /* how the caller's processor rounds */
} fa_pool = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

static inline void fa_pause(void) {
#ifdef __SSE2__
    _mm_pause();
#endif
}

static inline ptrdiff_t fa_left(uint64_t ticket, int member) {
    /* The pieces that a member of the team may take; none for other helpers. */
    int team = (int)(ticket >> FA_PIECE_BITS & ((1 << FA_TEAM_BITS) - 1));
    return member < team ? (ptrdiff_t)(ticket & ((1 << FA_PIECE_BITS) - 1)) : 0;
}

static inline int fa_work(int member) {
    return fa_left(__atomic_load_n(&fa_pool.ticket, __ATOMIC_SEQ_CST), member) > 0;
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

static void *fa_help(void *argument) {
    int member = (int)(intptr_t)argument, look;
    int64_t since;
    for (;;) {
        while (fa_take(member)) {}
        since = fa_clock();
        do {
            for (look = 0; look < FA_LOOKS && !fa_work(member); look++) fa_pause();
        } while (look == FA_LOOKS && !sched_yield() && fa_clock() - since < FA_AWAKE);  /* the caller may want this processor */
        if (look < FA_LOOKS) continue;
        pthread_mutex_lock(&fa_pool.door);
        __atomic_add_fetch(&fa_pool.sleeping, 1, __ATOMIC_SEQ_CST);  /* first this, then a last look: a caller does it the other way round */
        while (!fa_work(member)) pthread_cond_wait(&fa_pool.bell, &fa_pool.door);
        __atomic_sub_fetch(&fa_pool.sleeping, 1, __ATOMIC_SEQ_CST);
        pthread_mutex_unlock(&fa_pool.door);
    }
    return NULL;
}

static int fa_hire(void) {
    /* Start one more helper, which takes no signals from Python's main thread. */
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int failed;
    if (pthread_attr_init(&attributes)) return 0;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, FA_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, &attributes, fa_help, (void *)(intptr_t)(fa_pool.helpers + 1));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    fa_pool.helpers += !failed;
    return !failed;
}

static int fa_share(fa_span function, void *context, ptrdiff_t n, ptrdiff_t piece, int team) {
    /* Call `function` on pieces that cover 0..n, with up to team - 1 helpers. False, and nothing is done, where they serve another call. */
    ptrdiff_t pieces = (n + piece - 1) / piece;
    uint64_t number;
    int look = 0;
    if (pthread_mutex_trylock(&fa_pool.caller)) return 0;
    while (fa_pool.helpers < team - 1 && fa_hire()) {}
    fa_pool.function = function;
    fa_pool.context = context;
    fa_pool.n = n;
    fa_pool.piece = piece;
    fa_pool.pieces = pieces;
#ifdef __SSE2__
    fa_pool.control = _mm_getcsr();
#endif
    __atomic_store_n(&fa_pool.unfinished, pieces, __ATOMIC_RELAXED);
    number = (__atomic_load_n(&fa_pool.ticket, __ATOMIC_RELAXED) >> (FA_PIECE_BITS + FA_TEAM_BITS)) + 1;
    number = (number << FA_TEAM_BITS | (uint64_t)team) << FA_PIECE_BITS | (uint64_t)pieces;
    __atomic_store_n(&fa_pool.ticket, number, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&fa_pool.sleeping, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&fa_pool.door);      /* nobody is between the last look and sleep ... */
        pthread_mutex_unlock(&fa_pool.door);    /* ... and who wakes up finds the door open */
        pthread_cond_broadcast(&fa_pool.bell);
    }
    while (fa_take(0)) {}
    while (__atomic_load_n(&fa_pool.unfinished, __ATOMIC_ACQUIRE)) {
        if (look++ < FA_PATIENCE) fa_pause(); else sched_yield();
    }
    pthread_mutex_unlock(&fa_pool.caller);
    return 1;
}
