// A wall clock that a test sets: preloaded into a server, it adds to the time of day what the file REDIS_TASK_CLOCK says, a signed
// number of microseconds in eight bytes, and goes in steps of as many as the next eight bytes say. The monotonic clock goes on as it does.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile struct {
    int64_t offset_us, step_us;
} *said;

__attribute__((constructor)) static void map_offset(void) {
    const char *path = getenv("REDIS_TASK_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(NULL, sizeof *said, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) said = map;
    close(file);
}

// Not through the C library, whose functions these replace.
static int real_time(clockid_t clock, struct timespec *now) {
    return (int)syscall(SYS_clock_gettime, clock, now);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int error = real_time(clock, now);
    if (error || !said || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return error;
    int64_t us = (int64_t)now->tv_sec * 1000000 + now->tv_nsec / 1000 + said->offset_us;
    us -= us % said->step_us;
    now->tv_nsec = us % 1000000 * 1000 + now->tv_nsec % 1000;
    now->tv_sec = us / 1000000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int error = clock_gettime(CLOCK_REALTIME, &precise);
    if (!error) {
        now->tv_sec = precise.tv_sec;
        now->tv_usec = precise.tv_nsec / 1000;
    }
    return error;
}

time_t time(time_t *seconds) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}
