/* producer [PORT [RUN [NUMBER ...]]]: pushes tasks to the queue `sums`, and prints their results as they come. */

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int port = 6379;
static redisContext *r;

/* A failover, or a server that takes no writes now. */
static int is_for_later(const char *error)
{
    static const char *codes[] = {"UNBLOCKED", "TRYAGAIN", "NOREPLICAS", "MISCONF", "CLUSTERDOWN", "READONLY", "LOADING", "MASTERDOWN", "BUSY"};
    for (size_t n = 0; n < sizeof codes / sizeof *codes; n++)
        if (strncmp(error, codes[n], strlen(codes[n])) == 0)
            return 1;
    return 0;
}

/* Says a command until it is answered. Each of ours may be said twice: the pushes have IDs, COLLECT only reads. */
static redisReply *ask(const char *format, ...)
{
    const struct timeval connecting = {5, 0}, reading = {10, 0}; /* longer than BLOCK */
    for (;;) {
        redisReply *reply = NULL;
        if (r == NULL) {
            r = redisConnectWithTimeout("127.0.0.1", port, connecting);
            if (r != NULL && !r->err)
                redisSetTimeout(r, reading);
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
        if (reply != NULL && !is_for_later(reply->str))
            exit(1);
        if (reply != NULL)
            freeReplyObject(reply);
        if (r != NULL)
            redisFree(r); /* a context with an error is of no more use; the address may lead to a new master by now */
        r = NULL;
        sleep(1);
    }
}

int main(int argc, char **argv)
{
    static char *some[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"};
    char made[64], cursor[256] = "0";
    const char *run = argc > 2 ? argv[2] : made;
    char **numbers = argc > 3 ? argv + 3 : some;
    long long count = argc > 3 ? argc - 3 : 10, remaining = -1, completed = 0;

    if (argc > 1)
        port = atoi(argv[1]);
    snprintf(made, sizeof made, "%lld-%ld", (long long)time(NULL), (long)getpid());
    for (long long n = 0; n < count; n++)
        freeReplyObject(ask("TASK.PUSH sums %s ID %s:%s BATCH %s ATTEMPTS 3 BACKOFF 200", numbers[n], run, numbers[n], run));
    freeReplyObject(ask("TASK.SEAL sums %s", run));

    while (remaining != 0) {
        redisReply *page = ask("TASK.COLLECT sums %s %s BLOCK 1000", run, cursor);
        redisReply *ends = page->element[2];
        snprintf(cursor, sizeof cursor, "%s", page->element[0]->str);
        remaining = page->element[1]->integer;
        for (size_t n = 0; n < ends->elements; n++) {
            redisReply **end = ends->element[n]->element; /* id, state, data or nil */
            printf("%s %s %s\n", end[0]->str, end[1]->str, end[2]->type == REDIS_REPLY_STRING ? end[2]->str : "");
            completed += strcmp(end[1]->str, "completed") == 0;
        }
        fflush(stdout);
        freeReplyObject(page);
    }
    redisFree(r);
    return completed == count ? 0 : 1;
}
