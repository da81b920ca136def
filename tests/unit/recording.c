/* SPDX-License-Identifier: BSD-2-Clause */
/* What may be read from a recording, and what is left behind when one cannot be written. */
#include "recording.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/event_least.h"
#include "source.h"
#include "test.h"

/* Checks a copy of n bytes of e that ends at an unreadable page. */
static int check_copy(const void *e, size_t n)
{
	char *copy = guarded(e, n);
	int err = event_check((const struct event *)copy, n);

	guarded_free(copy, n);
	return err;
}

static void lengths(void)
{
	bool known = true, least_fits = true, shorter = true, short_file = true, long_file = true;

	TEST("each type has a least length: with it a record passes, with a byte less it does not");
	for (uint16_t type = 1; type < EV_TYPES; type++) {
		union {
			struct ev_hello hello;
			struct ev_data data;
			uint64_t room[64];
		} u = { 0 };
		struct event *e = &u.hello.h;
		size_t least = event_least(type);

		known &= least >= sizeof(*e);
		u.hello.magic = type == EV_HELLO ? EVENT_MAGIC : 0;
		e->type = type;
		if (type == EV_WRITE)
			u.data.dir = DIR_OUT;
		e->size = (uint32_t)least;
		/* in a multiple of eight bytes, as readers have room for */
		least_fits &= event_check(e, e->size) == 0;
		long_file &= event_check(e, e->size + 8) == 0;
		for (size_t n = 0; n < least; n += 8)
			short_file &= check_copy(e, n) == -EPROTO;
		e->size--;
		shorter &= event_check(e, least) == -EPROTO;
	}
	CHECK(known);
	CHECK(least_fits);
	CHECK(shorter);
	TEST("a record longer than what there is of it does not pass, nor is it read; what follows "
	     "does not matter");
	CHECK(short_file);
	CHECK(long_file);

	TEST("types that do not exist and lengths no record has do not pass");
	{
		struct ev_end e = { .h = { .size = sizeof(e), .type = 0 } };

		CHECK(check_copy(&e, sizeof(e)) == -EPROTO);
		e.h.type = EV_TYPES;
		CHECK(check_copy(&e, sizeof(e)) == -EPROTO);
		e.h.type = UINT16_MAX;
		CHECK(check_copy(&e, sizeof(e)) == -EPROTO);
		e.h.type = EV_END;
		CHECK(check_copy(&e, sizeof(e)) == 0);
		e.h.size = 0;
		CHECK(check_copy(&e, sizeof(e)) == -EPROTO);
		e.h.size = EVENT_SIZE_MAX + 8;
		CHECK(event_check(&e.h, EVENT_SIZE_MAX + 8) == -EPROTO);
		e.h.size = UINT32_MAX;
		CHECK(event_check(&e.h, SIZE_MAX) == -EPROTO);
	}
}

static void contents(void)
{
	struct {
		struct ev_data d;
		char bytes[16];
	} data = { .d = { .h = { .size = sizeof(data), .type = EV_DATA }, .total = 16, .n = 16 } };
	struct ev_thread thread = { .h = { .size = sizeof(thread), .type = EV_THREAD } };
	struct ev_body body = { .h = { .size = sizeof(body), .type = EV_BODY } };
	struct ev_hello hello = { .h = { .size = sizeof(hello), .type = EV_HELLO } };

	TEST("a data record's bytes are those it says it has, within its operation, in one of two "
	     "directions");
	CHECK(check_copy(&data, sizeof(data)) == 0);
	data.d.n = 15;
	CHECK(check_copy(&data, sizeof(data)) == -EPROTO);
	data.d.n = UINT32_MAX;
	CHECK(check_copy(&data, sizeof(data)) == -EPROTO);
	data.d.n = 16;
	data.d.off = 1;
	CHECK(check_copy(&data, sizeof(data)) == -EPROTO);
	data.d.off = UINT32_MAX;
	CHECK(check_copy(&data, sizeof(data)) == -EPROTO);
	data.d.off = 0;
	data.d.total = UINT64_MAX;
	CHECK(check_copy(&data, sizeof(data)) == -EPROTO);
	data.d.total = 16;
	data.d.dir = 2;
	CHECK(check_copy(&data, sizeof(data)) == -EPROTO);
	data.d.dir = DIR_OUT;
	data.d.h.type = EV_TLS;
	CHECK(check_copy(&data, sizeof(data)) == 0);
	data.d.h.type = EV_WRITE;
	CHECK(check_copy(&data, sizeof(data)) == 0);
	data.d.n = 17;
	CHECK(check_copy(&data, sizeof(data)) == -EPROTO);
	data.d.n = 16;
	data.d.dir = DIR_IN; /* nothing is written inwards */
	CHECK(check_copy(&data, sizeof(data)) == -EPROTO);

	TEST("a decoded slice has a direction, a thread no more descriptors than fit, the first "
	     "record its mark");
	CHECK(check_copy(&body, sizeof(body)) == 0);
	body.dir = 2;
	CHECK(check_copy(&body, sizeof(body)) == -EPROTO);
	thread.nfds = EVENT_FDS_MAX;
	CHECK(check_copy(&thread, sizeof(thread)) == 0);
	thread.nfds++;
	CHECK(check_copy(&thread, sizeof(thread)) == -EPROTO);
	CHECK(check_copy(&hello, sizeof(hello)) == -EPROTO);
	hello.magic = EVENT_MAGIC;
	CHECK(check_copy(&hello, sizeof(hello)) == 0);
}

/* ---- files ---- */

static char path[] = "/tmp/whystuck-recording-XXXXXX";

struct heard {
	unsigned records, ends;
	uint64_t last_ns;
};

static void hear(void *ctx, const struct event *e)
{
	struct heard *h = ctx;

	h->records++;
	h->ends += e->type == EV_END;
	h->last_ns = e->ts_ns;
}

/* Plays the file to its end or first fault. */
static int play(struct heard *h, char *why, size_t n)
{
	struct source *s = source_replay_open(path, hear, h, why, n);
	int r = 0;

	if (!s)
		return -errno;
	while (r == 0)
		r = s->poll(s, 0);
	if (r < 0)
		s->finish(s, END_FAILED);
	s->close(s);
	return r;
}

static void put(const void *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(p, 1, n, f) != n || fclose(f))
		abort();
}

static int write_some(unsigned ticks)
{
	struct recording *r = recording_create(path);
	struct ev_hello hello = { .h = { .size = sizeof(hello), .type = EV_HELLO, .ts_ns = 5 },
		                  .magic = EVENT_MAGIC,
		                  .version = EVENT_VERSION };
	struct ev_end last = { .h = { .size = sizeof(last), .type = EV_END, .ts_ns = 9 } };
	struct event tick = { .size = sizeof(tick), .type = EV_TICK, .ts_ns = 7 };

	if (!r)
		return -errno;
	recording_write(r, &hello.h);
	for (unsigned i = 0; i < ticks; i++)
		recording_write(r, &tick);
	recording_write(r, &last.h);
	return recording_close(r);
}

static void files(void)
{
	struct heard h = { 0 };
	char why[256] = "", whole[4096];
	size_t size, hello = sizeof(struct ev_hello);
	bool cut = true, said = true, ends = true;
	struct stat st;
	FILE *f;

	TEST("what was written is read again, and is the owner's only");
	CHECK(write_some(3) == 0 && stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	CHECK(play(&h, why, sizeof(why)) == 1 && h.records == 5 && h.ends == 1);
	f = fopen(path, "rb");
	size = fread(whole, 1, sizeof(whole), f);
	fclose(f);

	TEST("cut anywhere, the whole records before the cut are read, then it is said where it "
	     "ends");
	for (size_t n = 0; n < size; n++) {
		unsigned records = n < hello ? 0
		                             : 1 + (unsigned)((n - hello) / sizeof(struct event));

		h = (struct heard){ 0 };
		why[0] = '\0';
		put(whole, n);
		cut &= play(&h, why, sizeof(why)) < 0;
		/* the end that the reader gives is not in the file */
		cut &= h.records - h.ends == (records > 4 ? 4 : records);
		said &= why[0] != '\0';
		ends &= h.ends == (n >= hello) && (!h.ends || h.last_ns == (records > 1 ? 7 : 5));
	}
	CHECK(cut);
	CHECK(said);
	TEST("and the stream has an end all the same, at the time of its last record");
	CHECK(ends);

	TEST("other files are not recordings");
	put("#!/bin/sh\nexit 0\n and more than a header has of it\n", 50);
	h = (struct heard){ 0 };
	CHECK(play(&h, why, sizeof(why)) < 0 && strstr(why, "not a whystuck recording"));
	CHECK(h.records == 0);
	put(whole + hello, size - hello);
	CHECK(play(&h, why, sizeof(why)) < 0 && h.records == 0);
	unlink(path);
	CHECK(play(&h, why, sizeof(why)) == -ENOENT);
}

static void full_disk(void)
{
	struct rlimit old, limit;
	struct heard h = { 0 };
	char why[256] = "";
	struct stat st;
	int err;

	TEST("a disk that fills up is an error that stays, and whole records stay behind");
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 300001;
	setrlimit(RLIMIT_FSIZE, &limit);
	err = write_some(50000);
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK(err == -EFBIG);
	CHECK(stat(path, &st) == 0 && st.st_size > 100000 && st.st_size <= 300001);
	CHECK((st.st_size - (off_t)sizeof(struct ev_hello)) % (off_t)sizeof(struct event) == 0);
	CHECK(play(&h, why, sizeof(why)) == -ENODATA);
	unlink(path);

	TEST("a symbolic link is not followed, a directory that does not exist is said");
	CHECK(symlink("/dev/null", path) == 0 && !recording_create(path) && errno == ELOOP);
	unlink(path);
	CHECK(!recording_create("/nonexistent/x") && errno == ENOENT);
}

int main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		abort();
	close(fd);
	lengths();
	contents();
	files();
	full_disk();
	return DONE();
}
