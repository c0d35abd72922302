#include "check.h"

#include "../../src/core/upload.h"

/* ---- tables: what is sent, what comes back, what it means ---- */

struct step {
    const char *command; /* what gem_upload_next must say; NULL: the end of the table */
    int64_t offset, length;
    struct gem_upload_answer answer;
    enum gem_upload_verdict verdict;
    const char *why;     /* err's text, or NULL for GEM_OK */
};

#define ANSWER(...) {.received = -1, .granularity = -1, __VA_ARGS__}
#define STARTED ANSWER(.code = 200, .status = "active", .has_url = true)
#define STARTED_WITH(n) {.code = 200, .status = "active", .has_url = true, .received = -1, .granularity = (n)}
#define ACTIVE ANSWER(.code = 200, .status = "active")
#define ACTIVE_WITH(n) {.code = 200, .status = "active", .received = (n), .granularity = -1}
#define FINAL ANSWER(.code = 200, .status = "final")
#define BREAK ANSWER(.code = 0)
#define CODE(n) ANSWER(.code = (n))
#define REFUSAL(n) ANSWER(.code = (n), .api_error = true)

#define UNFINISHED "all bytes were sent and the server does not finish the upload"
#define EARLY "the server finished the upload before all bytes were sent"
#define TOO_MANY "the server says it has more bytes than were sent"
#define CANCELLED "the server cancelled the upload"

static int is_one_of(enum gem_upload_state state, enum gem_upload_verdict verdict)
{
    switch (verdict) {
    case GEM_UPLOAD_END: return state == GEM_UPLOAD_DONE;
    case GEM_UPLOAD_STOP: return state == GEM_UPLOAD_FAILED;
    default: return state < GEM_UPLOAD_DONE;
    }
}

static void play(const char *name, int64_t size, int64_t chunk, const struct step *steps)
{
    struct gem_upload up;
    gem_upload_init(&up, size, chunk);
    for (int i = 0; steps[i].command != NULL; i++) {
        const struct step *s = &steps[i];
        struct gem_upload_request request;
        struct gem_err err;
        enum gem_upload_verdict verdict;
        int before = check_failures;
        gem_upload_next(&up, &request);
        CHECK_STR(request.command, s->command);
        CHECK(request.offset == s->offset && request.length == s->length);
        verdict = gem_upload_take(&up, &s->answer, &err);
        CHECK(verdict == s->verdict && is_one_of(up.state, verdict));
        CHECK((err.kind == GEM_OK) == (s->why == NULL));
        if (s->why != NULL)
            CHECK_STR(err.text, s->why);
        if (check_failures != before) {
            printf("# in \"%s\", step %d: sent %s %lld+%lld, verdict %d, err \"%s\"\n", name, i + 1, request.command,
                   (long long)request.offset, (long long)request.length, (int)verdict, err.text);
            return;
        }
    }
}

#define PLAY(name, size, chunk, ...) \
    do { \
        static const struct step steps[] = {__VA_ARGS__, {0}}; \
        play(name, size, chunk, steps); \
    } while (0)

#define GO GEM_UPLOAD_GO, NULL
#define AGAIN GEM_UPLOAD_AGAIN, NULL
#define END GEM_UPLOAD_END, NULL
#define STOP GEM_UPLOAD_STOP, NULL
#define STOP_FOR(why) GEM_UPLOAD_STOP, why
#define START "start", 0, 0
#define QUERY "query", 0, 0
#define LAST "upload, finalize"

static void test_start(void)
{
    PLAY("plain", 5, 0, {START, STARTED, GO}, {LAST, 0, 5, FINAL, END});
    PLAY("passing faults", 5, 0, {START, BREAK, AGAIN}, {START, CODE(408), AGAIN}, {START, CODE(429), AGAIN},
         {START, CODE(500), AGAIN}, {START, REFUSAL(503), AGAIN}, {START, STARTED, GO});
    PLAY("refused", 5, 0, {START, CODE(400), STOP});
    PLAY("refused with an error", 5, 0, {START, REFUSAL(403), STOP});
    PLAY("not found", 5, 0, {START, CODE(404), STOP});
    PLAY("redirected", 5, 0, {START, CODE(307), STOP});
    PLAY("no success", 5, 0, {START, ANSWER(.code = 300, .has_url = true), STOP});
    PLAY("no address", 5, 0,
         {START, ACTIVE, STOP_FOR("the server did not say where to upload to (no X-Goog-Upload-URL)")});
    PLAY("no status, but an address", 5, 0, {START, ANSWER(.code = 200, .has_url = true), GO},
         {LAST, 0, 5, FINAL, END});
    PLAY("an error with an address", 5, 0, {START, ANSWER(.code = 400, .has_url = true, .api_error = true), STOP});
}

static void test_windows(void)
{
    PLAY("an empty file", 0, 0, {START, STARTED, GO}, {LAST, 0, 0, FINAL, END});
    PLAY("an empty file in chunks", 0, 8, {START, STARTED_WITH(4), GO}, {LAST, 0, 0, FINAL, END});
    PLAY("one request, whatever the granularity", 11, 0, {START, STARTED_WITH(4), GO}, {LAST, 0, 11, FINAL, END});
    PLAY("no granularity is 1", 11, 5, {START, STARTED, GO}, {"upload", 0, 5, ACTIVE, GO},
         {"upload", 5, 5, ACTIVE, GO}, {LAST, 10, 1, FINAL, END});
    PLAY("a chunk rounds down", 20, 11, {START, STARTED_WITH(4), GO}, {"upload", 0, 8, ACTIVE, GO},
         {"upload", 8, 8, ACTIVE, GO}, {LAST, 16, 4, FINAL, END});
    PLAY("but to one granule at least", 9, 3, {START, STARTED_WITH(4), GO}, {"upload", 0, 4, ACTIVE, GO},
         {"upload", 4, 4, ACTIVE, GO}, {LAST, 8, 1, FINAL, END});
    PLAY("the last chunk has any size", 8, 4, {START, STARTED_WITH(4), GO}, {"upload", 0, 4, ACTIVE, GO},
         {LAST, 4, 4, FINAL, END});
    PLAY("a chunk larger than the file", 3, 100, {START, STARTED_WITH(4), GO}, {LAST, 0, 3, FINAL, END});
    PLAY("the granularity may change", 30, 8, {START, STARTED_WITH(8), GO},
         {"upload", 0, 8, {.code = 200, .status = "active", .received = -1, .granularity = 6}, GO},
         {"upload", 8, 6, {.code = 200, .status = "active", .received = -1, .granularity = 0}, GO},
         {"upload", 14, 6, {.code = 200, .status = "active", .received = -1, .granularity = 100}, GO},
         {LAST, 20, 10, FINAL, END});
    PLAY("unknown size", -1, 10, {START, STARTED_WITH(4), GO}, {"upload", 0, 8, ACTIVE, GO},
         {"upload", 8, 8, FINAL, END});
    PLAY("unknown size and no chunk", -1, 0, {START, STARTED_WITH(4), GO}, {"upload", 0, 4, ACTIVE, GO},
         {"upload", 4, 4, FINAL, END});
    PLAY("unknown size, and a chunk too large to hold", -1, INT64_C(1) << 40, {START, STARTED_WITH(1 << 20), GO},
         {"upload", 0, 64 << 20, ACTIVE, GO});
    PLAY("unknown size, and more than can be held at a time", -1, 8,
         {START, STARTED_WITH((64 << 20) + 1),
          STOP_FOR("the server wants more bytes in one request than may be held")});
    PLAY("a huge granularity does no harm to a known size", 100, 8, {START, STARTED_WITH(INT64_C(1) << 53), GO},
         {LAST, 0, 100, FINAL, END});
    PLAY("a huge granularity does no harm to nothing", 0, 8, {START, STARTED_WITH(INT64_C(1) << 53), GO},
         {LAST, 0, 0, FINAL, END});
}

static void test_an_unknown_size_that_becomes_known(void)
{
    static const struct gem_upload_answer started = STARTED, active = ACTIVE, final = FINAL;
    struct gem_upload_request request;
    struct gem_upload up;
    gem_upload_init(&up, -1, 8);
    CHECK(gem_upload_take(&up, &started, NULL) == GEM_UPLOAD_GO);
    CHECK(gem_upload_take(&up, &active, NULL) == GEM_UPLOAD_GO && up.acked == 8);
    up.size = 11;
    gem_upload_next(&up, &request);
    CHECK_STR(request.command, LAST);
    CHECK(request.offset == 8 && request.length == 3);
    CHECK(gem_upload_take(&up, &final, NULL) == GEM_UPLOAD_END && up.state == GEM_UPLOAD_DONE);
}

static void test_active_and_final(void)
{
    PLAY("the server says how much it has", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, ACTIVE_WITH(8), GO},
         {"upload", 8, 8, ACTIVE_WITH(12), GO}, {LAST, 12, 8, FINAL, END});
    PLAY("active, but it took nothing", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, ACTIVE_WITH(0), AGAIN},
         {QUERY, ACTIVE_WITH(0), GO}, {"upload", 0, 8, ACTIVE, GO});
    PLAY("final with an error", 20, 0, {START, STARTED, GO},
         {LAST, 0, 20, ANSWER(.code = 400, .status = "final", .api_error = true), STOP});
    PLAY("final with an error that is plain text", 20, 0, {START, STARTED, GO},
         {LAST, 0, 20, ANSWER(.code = 400, .status = "final"), STOP});
    PLAY("final too early", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, FINAL, STOP_FOR(EARLY)});
    PLAY("final too early in a query", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, BREAK, AGAIN},
         {QUERY, FINAL, STOP_FOR(EARLY)});
    PLAY("cancelled", 20, 8, {START, STARTED, GO},
         {"upload", 0, 8, ANSWER(.code = 200, .status = "cancelled"), STOP_FOR(CANCELLED)});
    PLAY("cancelled, with an error of its own", 20, 8, {START, STARTED, GO},
         {"upload", 0, 8, ANSWER(.code = 499, .status = "cancelled"), STOP});
    PLAY("cancelled, as a query learns", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, BREAK, AGAIN},
         {QUERY, ANSWER(.code = 200, .status = "cancelled"), STOP_FOR(CANCELLED)});
    PLAY("no status header", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, CODE(200), AGAIN},
         {QUERY, ACTIVE_WITH(7), GO}, {LAST, 7, 13, FINAL, END});
    PLAY("a status nobody knows", 20, 0, {START, STARTED, GO},
         {LAST, 0, 20, ANSWER(.code = 200, .status = "pondering"), AGAIN}, {QUERY, FINAL, END});
    PLAY("more than was sent", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, ACTIVE_WITH(9), STOP_FOR(TOO_MANY)});
    PLAY("more than the file", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, ACTIVE_WITH(21), STOP_FOR(TOO_MANY)});
}

static void test_a_break_is_met_with_a_query(void)
{
    static const int passing[] = {0, 408, 429, 500, 502, 503, 504, 599};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        struct step steps[] = {{START, STARTED, GO}, {LAST, 0, 20, ANSWER(.code = passing[i]), AGAIN},
                               {QUERY, ANSWER(.code = passing[i]), AGAIN}, {QUERY, ACTIVE_WITH(13), GO},
                               {LAST, 13, 7, FINAL, END}, {0}};
        play("passing", 20, 0, steps);
    }
    PLAY("all arrived", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN}, {QUERY, FINAL, END});
    PLAY("all arrived, but not the word finalize", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN},
         {QUERY, ACTIVE_WITH(20), GO}, {LAST, 20, 0, FINAL, END});
    PLAY("nothing arrived", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, BREAK, AGAIN}, {QUERY, ACTIVE_WITH(0), GO},
         {"upload", 0, 8, ACTIVE, GO});
    PLAY("inside a chunk", 20, 8, {START, STARTED_WITH(4), GO}, {"upload", 0, 8, ACTIVE, GO},
         {"upload", 8, 8, BREAK, AGAIN}, {QUERY, ACTIVE_WITH(11), GO}, {"upload", 11, 8, ACTIVE, GO},
         {LAST, 19, 1, FINAL, END});
    PLAY("less than it had acknowledged", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, ACTIVE, GO},
         {"upload", 8, 8, BREAK, AGAIN}, {QUERY, ACTIVE_WITH(5), GO}, {"upload", 5, 8, ACTIVE, GO},
         {LAST, 13, 7, FINAL, END});
    PLAY("break after break", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN}, {QUERY, BREAK, AGAIN},
         {QUERY, ACTIVE_WITH(1), GO}, {LAST, 1, 19, BREAK, AGAIN}, {QUERY, ACTIVE_WITH(1), GO},
         {LAST, 1, 19, FINAL, END});
    PLAY("a query learns the granularity", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, BREAK, AGAIN},
         {QUERY, {.code = 200, .status = "active", .received = 5, .granularity = 5}, GO},
         {"upload", 5, 5, ACTIVE, GO});
}

static void test_nonsense_in_a_query(void)
{
    PLAY("more than the size", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN},
         {QUERY, ACTIVE_WITH(21), STOP_FOR(TOO_MANY)});
    PLAY("more than was ever sent", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, BREAK, AGAIN},
         {QUERY, ACTIVE_WITH(9), STOP_FOR(TOO_MANY)});
    PLAY("more than was ever sent, of an unknown size", -1, 8, {START, STARTED, GO}, {"upload", 0, 8, BREAK, AGAIN},
         {QUERY, ACTIVE_WITH(9), STOP_FOR(TOO_MANY)});
    PLAY("as much as was once sent", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, ACTIVE, GO},
         {"upload", 8, 8, BREAK, AGAIN}, {QUERY, ACTIVE_WITH(2), GO}, {"upload", 2, 8, BREAK, AGAIN},
         {QUERY, ACTIVE_WITH(16), GO}, {LAST, 16, 4, FINAL, END});
    PLAY("no number", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN},
         {QUERY, ACTIVE, STOP_FOR("the server does not say how many bytes it has")});
    PLAY("no status", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN}, {QUERY, CODE(200), AGAIN},
         {QUERY, ANSWER(.code = 204, .status = ""), AGAIN}, {QUERY, FINAL, END});
    PLAY("a refusal", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN}, {QUERY, CODE(400), STOP});
    PLAY("a refusal with an error", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN},
         {QUERY, REFUSAL(404), STOP});
}

static void test_all_was_sent_and_it_is_still_active(void)
{
    PLAY("it is final after all", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, ACTIVE, GO}, {QUERY, FINAL, END});
    PLAY("a part got lost", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, ACTIVE, GO}, {QUERY, ACTIVE_WITH(13), GO},
         {LAST, 13, 7, FINAL, END});
    PLAY("all is there, and finalize helps", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, ACTIVE, GO},
         {QUERY, ACTIVE_WITH(20), GO}, {LAST, 20, 0, FINAL, END});
    PLAY("all is there, and finalize does not help", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, ACTIVE, GO},
         {QUERY, ACTIVE_WITH(20), GO}, {LAST, 20, 0, ACTIVE, GO}, {QUERY, ACTIVE_WITH(20), STOP_FOR(UNFINISHED)});
    PLAY("nothing is there", 20, 0, {START, STARTED, GO}, {LAST, 0, 20, ACTIVE, GO},
         {QUERY, ACTIVE_WITH(0), STOP_FOR(UNFINISHED)});
    PLAY("nothing of the last chunk is there", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, ACTIVE, GO},
         {"upload", 8, 8, ACTIVE, GO}, {LAST, 16, 4, ACTIVE_WITH(16), GO},
         {QUERY, ACTIVE_WITH(16), STOP_FOR(UNFINISHED)});
    PLAY("less is there each time", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, ACTIVE, GO},
         {"upload", 8, 8, ACTIVE, GO}, {LAST, 16, 4, ACTIVE, GO}, {QUERY, ACTIVE_WITH(14), GO},
         {LAST, 14, 6, ACTIVE, STOP_FOR(UNFINISHED)});
    PLAY("an empty file", 0, 0, {START, STARTED, GO}, {LAST, 0, 0, ACTIVE, GO},
         {QUERY, ACTIVE_WITH(0), STOP_FOR(UNFINISHED)});
}

static void test_refusals(void)
{
    static const int unsure[] = {400, 412, 416}, sure[] = {301, 308, 401, 402, 403, 405, 409, 411, 413, 415, 422, 499};
    for (size_t i = 0; i < sizeof unsure / sizeof *unsure; i++) {
        struct step agreed[] = {{START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN}, {QUERY, ACTIVE_WITH(5), GO},
                                {LAST, 5, 15, ANSWER(.code = unsure[i]), GO}, {QUERY, ACTIVE_WITH(5), STOP}, {0}};
        struct step other[] = {{START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN}, {QUERY, ACTIVE_WITH(5), GO},
                               {LAST, 5, 15, ANSWER(.code = unsure[i]), GO}, {QUERY, ACTIVE_WITH(9), GO},
                               {LAST, 9, 11, FINAL, END}, {0}};
        struct step less[] = {{START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN}, {QUERY, ACTIVE_WITH(5), GO},
                              {LAST, 5, 15, ANSWER(.code = unsure[i]), GO}, {QUERY, ACTIVE_WITH(2), GO},
                              {LAST, 2, 18, ANSWER(.code = unsure[i]), STOP}, {0}};
        struct step error[] = {{START, STARTED, GO},
                               {LAST, 0, 20, ANSWER(.code = unsure[i], .status = "active", .api_error = true), STOP},
                               {0}};
        struct step queried[] = {{START, STARTED, GO}, {LAST, 0, 20, ANSWER(.code = unsure[i]), GO},
                                 {QUERY, BREAK, AGAIN}, {QUERY, CODE(503), AGAIN}, {QUERY, ACTIVE_WITH(0), STOP}, {0}};
        struct step over[] = {{START, STARTED, GO}, {LAST, 0, 20, ANSWER(.code = unsure[i]), GO}, {QUERY, FINAL, END},
                              {0}};
        play("the same offset: the refusal stands", 20, 0, agreed);
        play("another offset", 20, 0, other);
        play("a smaller offset, and refused again", 20, 0, less);
        play("with an API error", 20, 0, error);
        play("with a broken query", 20, 0, queried);
        play("it was final", 20, 0, over);
    }
    for (size_t i = 0; i < sizeof sure / sizeof *sure; i++) {
        struct step plain[] = {{START, STARTED, GO}, {LAST, 0, 20, ANSWER(.code = sure[i]), STOP}, {0}};
        struct step error[] = {{START, STARTED, GO}, {LAST, 0, 20, ANSWER(.code = sure[i], .api_error = true), STOP},
                               {0}};
        play("no query", 20, 0, plain);
        play("no query, with an error", 20, 0, error);
    }
    PLAY("progress makes room for a new doubt", 20, 4, {START, STARTED, GO}, {"upload", 0, 4, CODE(412), GO},
         {QUERY, ACTIVE_WITH(2), GO}, {"upload", 2, 4, CODE(412), GO}, {QUERY, ACTIVE_WITH(3), GO},
         {"upload", 3, 4, ACTIVE, GO}, {"upload", 7, 4, CODE(416), GO}, {QUERY, ACTIVE_WITH(7), STOP});
    PLAY("going to and fro is no progress", 20, 4, {START, STARTED, GO}, {"upload", 0, 4, ACTIVE, GO},
         {"upload", 4, 4, CODE(412), GO}, {QUERY, ACTIVE_WITH(3), GO}, {"upload", 3, 4, ACTIVE_WITH(4), GO},
         {"upload", 4, 4, CODE(412), STOP});
}

static void test_a_lost_session_begins_anew_once(void)
{
    static const int gone[] = {404, 410};
    for (size_t i = 0; i < 2; i++) {
        struct step sent[] = {{START, STARTED_WITH(4), GO}, {"upload", 0, 8, ACTIVE, GO},
                              {"upload", 8, 8, ANSWER(.code = gone[i]), GO}, {START, STARTED, GO},
                              {"upload", 0, 8, ACTIVE, GO}, {"upload", 8, 8, ACTIVE, GO},
                              {LAST, 16, 4, ANSWER(.code = gone[i]), STOP}, {0}};
        struct step queried[] = {{START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN}, {QUERY, ANSWER(.code = gone[i]), GO},
                                 {START, BREAK, AGAIN}, {START, STARTED, GO}, {LAST, 0, 20, BREAK, AGAIN},
                                 {QUERY, ANSWER(.code = gone[i]), STOP}, {0}};
        struct step error[] = {{START, STARTED, GO}, {LAST, 0, 20, ANSWER(.code = gone[i], .api_error = true), STOP},
                               {0}};
        play("while sending", 20, 8, sent);
        play("in a query", 20, 0, queried);
        play("an error says it, not the front end", 20, 0, error);
    }
    PLAY("what the old session had does not count", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, ACTIVE, GO},
         {"upload", 8, 8, BREAK, AGAIN}, {QUERY, CODE(404), GO}, {START, STARTED, GO}, {"upload", 0, 8, BREAK, AGAIN},
         {QUERY, ACTIVE_WITH(12), STOP_FOR(TOO_MANY)});
    PLAY("nor what was doubted in it", 20, 8, {START, STARTED, GO}, {"upload", 0, 8, CODE(412), GO},
         {QUERY, CODE(404), GO}, {START, STARTED, GO}, {"upload", 0, 8, CODE(412), GO}, {QUERY, ACTIVE_WITH(4), GO},
         {"upload", 4, 8, ACTIVE, GO});
}

/* Another process began: what it sent is not known, so the server may have any of it. */
static void test_a_session_is_taken_up(void)
{
    static const struct gem_upload_answer some = ACTIVE_WITH(13), all = ACTIVE_WITH(20), final = FINAL, gone = CODE(404),
                                          more = ACTIVE_WITH(21), broken = BREAK;
    static const struct gem_upload_answer *const first[] = {&some, &all, &final, &gone, &more, &broken};
    static const struct {
        enum gem_upload_verdict verdict;
        enum gem_upload_state state;
        int64_t acked;
    } wanted[] = {{GEM_UPLOAD_GO, GEM_UPLOAD_SEND, 13}, {GEM_UPLOAD_GO, GEM_UPLOAD_SEND, 20},
                  {GEM_UPLOAD_END, GEM_UPLOAD_DONE, 0}, {GEM_UPLOAD_GO, GEM_UPLOAD_START, 0},
                  {GEM_UPLOAD_STOP, GEM_UPLOAD_FAILED, 0}, {GEM_UPLOAD_AGAIN, GEM_UPLOAD_QUERY, 0}};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        struct gem_upload up;
        struct gem_upload_request request;
        gem_upload_init(&up, 20, 0);
        gem_upload_resume(&up);
        gem_upload_next(&up, &request);
        CHECK_STR(request.command, "query");
        CHECK(gem_upload_take(&up, first[i], NULL) == wanted[i].verdict);
        CHECK(up.state == wanted[i].state && up.acked == wanted[i].acked);
        if (up.state != GEM_UPLOAD_SEND)
            continue;
        gem_upload_next(&up, &request);
        CHECK_STR(request.command, LAST);
        CHECK(request.offset == up.acked && request.length == 20 - up.acked);
        CHECK(gem_upload_take(&up, &final, NULL) == GEM_UPLOAD_END);
    }
}

static void test_nothing_comes_after_the_end(void)
{
    static const struct gem_upload_answer started = STARTED, final = FINAL;
    struct gem_upload up;
    struct gem_err err;
    gem_upload_init(&up, 1, 0);
    gem_upload_take(&up, &started, &err);
    CHECK(gem_upload_take(&up, &final, &err) == GEM_UPLOAD_END);
    CHECK(gem_upload_take(&up, &final, &err) == GEM_UPLOAD_STOP && err.kind == GEM_PROTOCOL);
    CHECK(gem_upload_take(&up, &started, NULL) == GEM_UPLOAD_STOP && up.state == GEM_UPLOAD_FAILED);
}

/* ---- a simulated server ---- */

struct server {
    uint32_t seed;
    int64_t granularity, have; /* of the session; have -1: there is none */
    int64_t size, made;        /* of the file; bytes that the sessions took in all */
    int final;                 /* the file is whole there */
    int faults;                /* yet to come */
    int lost;                  /* sessions lost so far */
};

static int64_t below(struct server *s, int64_t n)
{
    return n <= 0 ? 0 : (int64_t)(check_random(&s->seed) % (uint32_t)n);
}

/* What an honest server makes of a request's first n bytes. */
static struct gem_upload_answer serve(struct server *s, const struct gem_upload_request *r, int64_t n)
{
    struct gem_upload_answer a = ANSWER(.code = 200, .status = "active");
    int finalize = strstr(r->command, "finalize") != NULL;
    if (strcmp(r->command, "start") == 0) {
        s->have = 0;
        a.has_url = true;
        a.granularity = s->granularity;
        return a;
    }
    if (s->have < 0)
        return (struct gem_upload_answer)CODE(below(s, 2) ? 404 : 410);
    if (strcmp(r->command, "query") == 0) {
        a.status = s->final ? "final" : "active";
        a.received = s->have;
        return a;
    }
    /* The machine has no excuse for these. */
    CHECK(r->offset == s->have && r->length >= 0 && r->offset + r->length <= s->size && !s->final);
    CHECK(finalize == (r->offset + r->length == s->size));
    CHECK(finalize || (r->length > 0 && r->length % s->granularity == 0));
    s->have += n;
    s->made += n;
    s->final = finalize && n == r->length;
    if (below(s, 2))
        a.received = s->have;
    if (s->final)
        a.status = "final";
    return a;
}

/* The same on a bad day: cut before, in the middle and after; busy; mute; sessions that get lost. */
static struct gem_upload_answer serve_badly(struct server *s, const struct gem_upload_request *r)
{
    static const struct gem_upload_answer broken = BREAK, mute = CODE(200);
    if (s->faults == 0)
        return serve(s, r, r->length);
    s->faults--;
    switch (below(s, 8)) {
    case 0:
        return broken;
    case 1:
        return (struct gem_upload_answer)CODE(500 + (int)below(s, 5));
    case 2:
        return (struct gem_upload_answer)CODE(below(s, 2) ? 429 : 408);
    case 3: /* all of it done, and the answer lost */
        serve(s, r, r->length);
        return below(s, 2) || r->command[0] == 's' ? broken : mute;
    case 4:
    case 5: /* a part of the bytes kept; of a session that was started, nothing is known */
        serve(s, r, below(s, r->length));
        return broken;
    case 6:
        if (s->lost > 0 || s->have < 0 || s->final)
            return broken;
        s->lost++;
        s->have = -1;
        return (struct gem_upload_answer)CODE(404);
    default:
        return serve(s, r, r->length);
    }
}

/* An unlucky but honest server ends up with the whole file, and with no byte twice but after a lost session. */
static void test_an_honest_server_gets_the_file_once(void)
{
    for (uint32_t seed = 1; seed <= 20000; seed++) {
        struct server s = {.seed = seed, .have = -1};
        struct gem_upload up;
        struct gem_upload_request request;
        enum gem_upload_verdict verdict = GEM_UPLOAD_GO;
        struct gem_err err;
        int64_t lost = 0, chunk, steps = 0, most;
        s.size = below(&s, 4) ? below(&s, 200) : below(&s, 3);
        s.granularity = 1 + below(&s, 9);
        s.faults = (int)below(&s, 12);
        chunk = below(&s, 3) ? below(&s, 60) : 0;
        most = 3 * s.faults + 10 + 2 * (chunk > 0 ? s.size : 0);
        gem_upload_init(&up, s.size, chunk);
        while (verdict == GEM_UPLOAD_GO || verdict == GEM_UPLOAD_AGAIN) {
            struct gem_upload_answer answer;
            if (!CHECK(++steps <= most))
                break;
            gem_upload_next(&up, &request);
            if (strcmp(request.command, "start") == 0 && !s.final)
                lost = s.made; /* what an earlier session took does not count */
            answer = serve_badly(&s, &request);
            if (answer.code == 404 && strcmp(request.command, "start") == 0)
                answer.code = 0; /* that one would be an answer */
            verdict = gem_upload_take(&up, &answer, &err);
        }
        if (!CHECK(verdict == GEM_UPLOAD_END && s.final && s.have == s.size && s.made - lost == s.size))
            printf("# seed %lu: verdict %d, size %lld, have %lld, made %lld, lost %lld, err \"%s\"\n",
                   (unsigned long)seed, (int)verdict, (long long)s.size, (long long)s.have, (long long)s.made,
                   (long long)lost, err.text);
    }
}

static struct gem_upload_answer random_answer(struct server *s, int64_t size)
{
    static const int codes[] = {0, 200, 200, 200, 200, 201, 308, 400, 403, 404, 410, 412, 416, 429, 500, 503};
    static const char *const words[] = {"active", "active", "active", "final", "cancelled", NULL, "?"};
    return (struct gem_upload_answer){
        .code = codes[below(s, sizeof codes / sizeof *codes)],
        .status = words[below(s, sizeof words / sizeof *words)],
        .received = below(s, 3) ? below(s, size + 3) : -1,
        .granularity = below(s, 4) ? -1 : below(s, 20),
        .has_url = below(s, 20) > 0,
        .api_error = below(s, 40) == 0,
    };
}

/* Whatever a server says, it comes to an end as soon as the driver has no patience left, every request is within the
 * file, and what ends well was sent completely. */
static void test_a_mad_server_comes_to_an_end(void)
{
    int ended = 0;
    for (uint32_t seed = 1; seed <= 50000; seed++) {
        struct server s = {.seed = seed};
        struct gem_upload up;
        enum gem_upload_verdict verdict = GEM_UPLOAD_GO;
        struct gem_err err;
        int64_t size = below(&s, 4) ? below(&s, 60) : -1, chunk = below(&s, 3) ? 1 + below(&s, 30) : 0;
        int64_t steps = 0, most = 0;
        int patience = 20;
        char sent[64] = {0};
        gem_upload_init(&up, size, chunk);
        while (verdict == GEM_UPLOAD_GO || (verdict == GEM_UPLOAD_AGAIN && patience-- > 0)) {
            struct gem_upload_request request;
            struct gem_upload_answer answer = random_answer(&s, size < 0 ? 60 : size);
            gem_upload_next(&up, &request);
            if (strcmp(request.command, "start") == 0)
                memset(sent, 0, sizeof sent);
            CHECK(request.offset >= 0 && request.length >= 0);
            if (size >= 0) {
                CHECK(request.offset + request.length <= size);
                memset(sent + request.offset, 1, (size_t)request.length);
                CHECK((strcmp(request.command, LAST) != 0) || request.offset + request.length == size);
                CHECK((strcmp(request.command, "upload") != 0) || request.offset + request.length < size);
                CHECK((strcmp(request.command, "upload") != 0) || request.length % up.granularity == 0);
            }
            verdict = gem_upload_take(&up, &answer, &err);
            CHECK((verdict == GEM_UPLOAD_GO || verdict == GEM_UPLOAD_AGAIN) == (up.state < GEM_UPLOAD_DONE));
            CHECK(err.kind == GEM_OK || verdict == GEM_UPLOAD_STOP);
            /* A server that is mad on purpose could go on byte by byte; so the file's size is in the bound. */
            most = 20 * 3 + 10 + 4 * 2 * (size < 0 ? 200 : size);
            if (!CHECK(++steps <= most)) {
                printf("# seed %lu\n", (unsigned long)seed);
                break;
            }
        }
        if (verdict == GEM_UPLOAD_END) {
            ended++;
            for (int64_t i = 0; i < size; i++)
                CHECK(sent[i]);
        }
    }
    CHECK(ended > 1000);
}

/* One that goes forth and back without a break, which no patience of the driver's would end. */
static void test_progress_that_is_taken_back_does_not_last_for_ever(void)
{
    static const struct gem_upload_answer started = STARTED, refused = CODE(412), one = ACTIVE_WITH(1),
                                          two = ACTIVE_WITH(2);
    struct gem_upload up;
    enum gem_upload_verdict verdict;
    int steps = 0;
    gem_upload_init(&up, 10, 1);
    verdict = gem_upload_take(&up, &started, NULL);
    while (verdict == GEM_UPLOAD_GO && CHECK(++steps < 50)) {
        if (up.state == GEM_UPLOAD_QUERY)
            verdict = gem_upload_take(&up, &one, NULL);
        else if (up.acked < 2)
            verdict = gem_upload_take(&up, up.acked == 0 ? &one : &two, NULL);
        else
            verdict = gem_upload_take(&up, &refused, NULL);
    }
    CHECK(verdict == GEM_UPLOAD_STOP);
}

int main(void)
{
    RUN(test_start);
    RUN(test_windows);
    RUN(test_an_unknown_size_that_becomes_known);
    RUN(test_active_and_final);
    RUN(test_a_break_is_met_with_a_query);
    RUN(test_nonsense_in_a_query);
    RUN(test_all_was_sent_and_it_is_still_active);
    RUN(test_refusals);
    RUN(test_a_lost_session_begins_anew_once);
    RUN(test_a_session_is_taken_up);
    RUN(test_nothing_comes_after_the_end);
    RUN(test_an_honest_server_gets_the_file_once);
    RUN(test_a_mad_server_comes_to_an_end);
    RUN(test_progress_that_is_taken_back_does_not_last_for_ever);
    return check_done();
}
