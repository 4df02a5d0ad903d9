/* conformance PORT [CLUSTER-PORT]: the checks of clients/README.md with hiredis. */

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int port;
static redisContext *r;

static redisContext *connection(void)
{
    struct timeval limit = {10, 0};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, limit);
    if (c == NULL || c->err || redisSetTimeout(c, limit) != REDIS_OK) {
        fprintf(stderr, "no connection: %s\n", c ? c->errstr : "out of memory");
        exit(1);
    }
    return c;
}

/* As text: 'string', integer, nil, OK, !CODE of an error. */
static void show(const redisReply *reply, char *text, size_t size)
{
    size_t used, n;
    if (reply == NULL)
        snprintf(text, size, "lost");
    else if (reply->type == REDIS_REPLY_STRING)
        snprintf(text, size, "'%s'", reply->str);
    else if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(text, size, "%lld", reply->integer);
    else if (reply->type == REDIS_REPLY_NIL)
        snprintf(text, size, "nil");
    else if (reply->type == REDIS_REPLY_ERROR)
        snprintf(text, size, "!%.*s", (int)strcspn(reply->str, " "), reply->str);
    else if (reply->type == REDIS_REPLY_ARRAY) {
        snprintf(text, size, "[");
        for (n = 0; n < reply->elements; n++) {
            used = strlen(text);
            if (n > 0 && used + 1 < size)
                text[used++] = ' ';
            show(reply->element[n], text + used, size - used);
        }
        used = strlen(text);
        snprintf(text + used, size - used, "]");
    } else
        snprintf(text, size, "%s", reply->str);
}

/* Words in a line, without spaces in them. The text stands until the next call. */
static const char *t(const char *line)
{
    static char text[65536];
    char words[512], *word;
    const char *argv[64];
    int argc = 0;
    redisReply *reply;
    snprintf(words, sizeof words, "%s", line);
    for (word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    reply = redisCommandArgv(r, argc, argv, NULL);
    show(reply, text, sizeof text);
    if (reply != NULL)
        freeReplyObject(reply);
    return text;
}

static void is(const char *check, const char *line, const char *expected)
{
    const char *got = t(line);
    if (strcmp(got, expected) != 0) {
        fprintf(stderr, "FAILED %s: %s: %s, not %s\n", check, line, got, expected);
        exit(1);
    }
}

static void ok(const char *check)
{
    printf("ok %s\n", check);
    fflush(stdout);
}

static void bytes_come_whole(const char *id, const char *data, size_t size)
{
    redisReply *reply = redisCommand(r, "TASK.PUSH bin %b ID %s", data, size, id);
    int n;
    freeReplyObject(reply);
    for (n = 0; n < 2; n++) {
        reply = n == 0 ? redisCommand(r, "TASK.CLAIM bin") : redisCommand(r, "TASK.RESULT bin %s", id);
        if (reply->elements < 2 || reply->element[1]->len != size || memcmp(reply->element[1]->str, data, size) != 0) {
            fprintf(stderr, "FAILED binary: %s\n", id);
            exit(1);
        }
        freeReplyObject(reply);
        reply = redisCommand(r, "TASK.COMPLETE bin %s %b ATTEMPT 1", id, data, size);
        freeReplyObject(reply);
    }
}

int main(int argc, char **argv)
{
    struct timespec began, ended;
    redisReply *reply, *more;
    redisContext *own;
    char line[256], *every;
    int n;

    port = argc > 1 ? atoi(argv[1]) : 6379;
    r = connection();
    t("FLUSHALL");

    is("push", "TASK.PUSH q low ID a", "'a'");
    is("push", "TASK.PUSH q high ID b PRIORITY 5 ATTEMPTS 2 BACKOFF 50 LEASE 7000", "'b'");
    is("push", "TASK.PUSH q low ID a", "'a'");
    is("push", "TASK.PUSH q low ID a NX", "nil");
    ok("push");
    is("claim", "TASK.CLAIM q WORKER w", "['b' 'high' 1 7000 nil]");
    is("claim", "TASK.CLAIM q COUNT 9", "[['a' 'low' 1 30000 nil]]");
    is("claim", "TASK.CLAIM q", "nil");
    ok("claim");
    clock_gettime(CLOCK_MONOTONIC, &began);
    is("block", "TASK.CLAIM q BLOCK 200", "nil");
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if ((ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000 < 150) {
        fprintf(stderr, "FAILED block: it did not wait\n");
        return 1;
    }
    t("TASK.PUSH q later ID c DELAY 200");
    is("block", "TASK.CLAIM q BLOCK 5000", "['c' 'later' 1 30000 nil]");
    ok("block");
    t("TASK.PUSH q n ID d");
    is("next", "TASK.COMPLETE q c done ATTEMPT 1 NEXT BLOCK 1000", "['d' 'n' 1 30000 nil]");
    is("next", "TASK.COMPLETE q c again ATTEMPT 1", "OK");
    is("next", "TASK.COMPLETE q d done ATTEMPT 1 NEXT BLOCK 100", "nil");
    is("next", "TASK.RESULT q c BLOCK 1000", "['completed' 'done']");
    ok("next");
    is("fail", "TASK.FAIL q b oops ATTEMPT 1", "scheduled");
    is("fail", "TASK.CLAIM q BLOCK 5000", "['b' 'high' 2 7000 nil]");
    is("fail", "TASK.FAIL q b no ATTEMPT 2", "failed");
    is("fail", "TASK.RESULT q b", "['failed' 'no']");
    is("fail", "TASK.RETRY q b", "1");
    ok("fail");
    is("release", "TASK.CLAIM q", "['b' 'high' 3 7000 nil]");
    is("release", "TASK.RELEASE q b ATTEMPT 3", "OK");
    is("release", "TASK.CLAIM q", "['b' 'high' 4 7000 nil]");
    ok("release");
    is("extend", "TASK.EXTEND q b ATTEMPT 4 CHECKPOINT half", "OK");
    is("extend", "TASK.RELEASE q b ATTEMPT 4", "OK");
    is("extend", "TASK.CLAIM q", "['b' 'high' 5 7000 'half']");
    ok("extend");
    t("SET text x");
    is("errors", "TASK.COMPLETE q b x ATTEMPT 4", "!STALE");
    is("errors", "TASK.COMPLETE q nobody x", "!NOTASK");
    is("errors", "TASK.EXTEND q c ATTEMPT 1", "!NOTCLAIMED");
    is("errors", "TASK.PUSH text x", "!WRONGTYPE");
    is("errors", "TASK.PUSH q x COLOR red", "!ERR");
    is("errors", "TASK.CANCEL q b", "1");
    is("errors", "TASK.COMPLETE q b x ATTEMPT 5", "!CANCELED");
    ok("errors");
    is("array-errors", "TASK.MCOMPLETE q 2 a 1 done b 5 done", "[OK !CANCELED]");
    ok("array-errors");
    is("gather", "TASK.GATHER q 3 c b x BLOCK 100", "[['c' 'completed' 'done'] ['b' 'canceled' nil] ['x' nil nil]]");
    ok("gather");
    for (n = 0; n < 3; n++) {
        snprintf(line, sizeof line, "TASK.PUSH m %d ID m%d BATCH maps", n, n);
        t(line);
        t("TASK.CLAIM m");
        snprintf(line, sizeof line, "TASK.COMPLETE m m%d %d ATTEMPT 1", n, n * n);
        t(line);
    }
    reply = redisCommand(r, "TASK.COLLECT m maps 0 COUNT 2");
    is("collect", "TASK.SEAL m maps", "3");
    more = redisCommand(r, "TASK.COLLECT m maps %s BLOCK 1000", reply->element[0]->str);
    if (reply->element[1]->integer != -1 || reply->element[2]->elements != 2 || more->element[1]->integer != 0 ||
        more->element[2]->elements != 1 || strcmp(more->element[2]->element[0]->element[2]->str, "4") != 0) {
        fprintf(stderr, "FAILED collect\n");
        return 1;
    }
    freeReplyObject(reply);
    freeReplyObject(more);
    ok("collect");
    every = malloc(258 * 4096);
    for (n = 0; n < 258 * 4096; n++)
        every[n] = (char)(n % 258 < 256 ? n % 258 : n % 258 == 256 ? '\r' : '\n');
    bytes_come_whole("x", every, 258);
    bytes_come_whole("y", every, 0);
    bytes_come_whole("z", every, 258 * 4096);
    free(every);
    ok("binary");
    if (strstr(t("TASK.INFO m"), "'completed' 3 ") == NULL) {
        fprintf(stderr, "FAILED info\n");
        return 1;
    }
    ok("info");
    t("TASK.PUSH s x ID s");
    own = r;
    r = connection();
    t("TASK.CLAIM s SESSION");
    redisFree(r);
    r = own;
    is("session", "TASK.CLAIM s BLOCK 5000", "['s' 'x' 2 30000 nil]");
    ok("session");
    snprintf(line, sizeof line, "CLIENT KILL ID %s", t("CLIENT ID"));
    t("TASK.COMPLETE s s done ATTEMPT 2");
    r = connection();
    is("reconnect", line, "1");
    redisFree(r);
    r = own;
    is("reconnect", "TASK.COMPLETE s s done ATTEMPT 2", "lost");
    if (redisReconnect(r) != REDIS_OK) {
        fprintf(stderr, "FAILED reconnect: %s\n", r->errstr);
        return 1;
    }
    is("reconnect", "TASK.COMPLETE s s done ATTEMPT 2", "OK");
    ok("reconnect");
    for (n = 0; n < 100; n++)
        redisAppendCommand(r, "TASK.PUSH p %d ID p%d", n, n);
    for (n = 0; n < 100; n++) {
        if (redisGetReply(r, (void **)&reply) != REDIS_OK || reply->type != REDIS_REPLY_STRING) {
            fprintf(stderr, "FAILED pipeline\n");
            return 1;
        }
        freeReplyObject(reply);
    }
    is("pipeline", "TASK.CANCEL p ALL", "100");
    ok("pipeline");
    printf("skip resp3: hiredis %d.%d speaks RESP2\n", HIREDIS_MAJOR, HIREDIS_MINOR);
    printf("skip cluster: hiredis knows no clusters\n");
    redisFree(r);
    return 0;
}
