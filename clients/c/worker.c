/* worker [PORT]: works on the queue `sums` until SIGTERM. */

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int port = 6379;
static redisContext *r;
static volatile sig_atomic_t stopping;

enum outcome { DONE, FAILED, STOPPED, LOST };

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

static int begins_with_one_of(const char *error, const char *const *codes)
{
    for (; *codes != NULL; codes++)
        if (strncmp(error, *codes, strlen(*codes)) == 0)
            return 1;
    return 0;
}

/* Says a command until it is answered. NULL: the task is not ours any more, or we are to stop and have none. */
static redisReply *ask(int claims, const char *format, ...)
{
    static const char *const refused[] = {"NOTASK", "STALE", "CANCELED", "NOTCLAIMED", NULL};
    /* A failover, or a server that takes no writes now. */
    static const char *const again[] = {"UNBLOCKED", "TRYAGAIN", "NOREPLICAS", "MISCONF", "CLUSTERDOWN", "READONLY", "LOADING", "MASTERDOWN", "BUSY", NULL};
    const struct timeval connecting = {5, 0}, reading = {10, 0}; /* longer than BLOCK */
    for (;;) {
        redisReply *reply = NULL;
        int not_ours = 0;
        if (r == NULL) {
            r = redisConnectWithTimeout("127.0.0.1", port, connecting);
            if (r != NULL && !r->err) {
                redisSetTimeout(r, reading);
                redisEnableKeepAlive(r);
            }
        }
        if (r != NULL && !r->err) {
            va_list arguments;
            va_start(arguments, format);
            reply = redisvCommand(r, format, arguments);
            va_end(arguments);
        }
        if (reply != NULL && reply->type != REDIS_REPLY_ERROR)
            return reply;
        fprintf(stderr, "%s\n", reply ? reply->str : r ? r->errstr : "out of memory");
        if (reply != NULL) {
            not_ours = begins_with_one_of(reply->str, refused);
            if (!not_ours && !begins_with_one_of(reply->str, again))
                exit(1); /* a mistake of ours */
            freeReplyObject(reply);
        }
        if (not_ours)
            return NULL;
        if (r != NULL)
            redisFree(r); /* a context with an error is of no more use; the address may lead to a new master by now */
        r = NULL;
        if (claims && stopping)
            return NULL;
        sleep(1);
    }
}

static int said(redisReply *reply)
{
    if (reply != NULL)
        freeReplyObject(reply);
    return reply != NULL;
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* The work: here a sum of squares, made slow, with a heartbeat each third of the lease. */
static enum outcome work(const char *id, const char *payload, long long attempt, long long lease_ms, long long *sum)
{
    const struct timespec step = {0, 50 * 1000 * 1000};
    long long beaten = now_ms(), n, number;
    char *end;
    number = strtoll(payload, &end, 10);
    if (end == payload || *end != '\0')
        return FAILED;
    for (*sum = 0, n = 1; n <= number; n++) {
        if (stopping)
            return STOPPED;
        if (now_ms() - beaten > lease_ms / 3) {
            beaten = now_ms();
            if (!said(ask(0, "TASK.EXTEND sums %s ATTEMPT %lld", id, attempt)))
                return LOST;
        }
        nanosleep(&step, NULL);
        *sum += n * n;
    }
    return DONE;
}

int main(int argc, char **argv)
{
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    if (argc > 1)
        port = atoi(argv[1]);
    while (!stopping) {
        redisReply *task = ask(1, "TASK.CLAIM sums WORKER c BLOCK 1000");
        if (task != NULL && task->type == REDIS_REPLY_ARRAY) {
            const char *id = task->element[0]->str, *payload = task->element[1]->str; /* bytes: element[1]->len of them */
            long long attempt = task->element[2]->integer, sum;
            /* Said again after a lost connection: safe. */
            switch (work(id, payload, attempt, task->element[3]->integer, &sum)) {
            case DONE:
                said(ask(0, "TASK.COMPLETE sums %s %lld ATTEMPT %lld", id, sum, attempt));
                break;
            case FAILED: /* tried again after its backoff */
                said(ask(0, "TASK.FAIL sums %s %s ATTEMPT %lld", id, "no number", attempt));
                break;
            case STOPPED:
                said(ask(0, "TASK.RELEASE sums %s ATTEMPT %lld", id, attempt));
                break;
            case LOST:
                break;
            }
        }
        if (task != NULL)
            freeReplyObject(task);
    }
    if (r != NULL)
        redisFree(r);
    return 0;
}
