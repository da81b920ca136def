/* SPDX-License-Identifier: BSD-2-Clause */
/* A CPython made of plain memory, our own, which is read as a target's is: right, broken and hostile. */
#include <pthread.h>
#include <sys/syscall.h>

#include "python_stack.h"
#include "recording.h"
#include "test.h"

#define SELF 0x7000 /* pthread_self() of the thread it has */
#define FRAMES 600
#define CODE_BYTES 216

/* As CPython 3.12 on x86-64 lays things out; the offsets are those of its headers. */
static struct {
	uint64_t runtime[8], interp[60], gil[4], tstate[24], cframe[2];
	uint64_t frames[FRAMES][10];
	uint64_t type[8];
	char type_name[8];
	uint64_t code[CODE_BYTES / 8 + 1];
	char name[400], file[1600], lines[64];
} py;

static struct python_thread thread = { 0, SELF };

/* What was emitted: of each kind the newest, and how many. */
static struct {
	char text[EVENT_SIZE_MAX];
	uint32_t flags, tid;
	unsigned n;
	char missing[EVENT_SIZE_MAX];
} got;

static void take(void *ctx, const struct event *e)
{
	const struct ev_frames *f = (const void *)e;
	size_t n = e->size - sizeof(*f);
	char *to = f->kind == FRAMES_PYTHON ? got.text : got.missing;

	(void)ctx;
	if (event_check(e, e->size) || e->type != EV_FRAMES || e->pid != (uint32_t)getpid())
		abort();
	memcpy(to, f->text, n);
	to[n] = '\0';
	if (f->kind == FRAMES_MISSING)
		return;
	got.flags = f->flags;
	got.tid = e->tid;
	got.n++;
}

static void read_as(uint32_t minor)
{
	struct python_runtime runtime = { .addr = (uintptr_t)py.runtime,
		                          .minor = minor,
		                          .head = 40,
		                          .next = 0,
		                          .threads = 72,
		                          .thread_id = 136 };

	memset(&got, 0, sizeof(got));
	python_stack_read((uint32_t)getpid(), &runtime, &thread, 1, take, NULL);
}

#define PUT(object, at, value) (*(uint64_t *)((char *)(object) + (at)) = (uint64_t)(value))
#define PUT32(object, at, value) (*(uint32_t *)((char *)(object) + (at)) = (uint32_t)(value))

/* width 0: ASCII */
static void str_make(char *to, uint64_t length, uint32_t width, const void *data, size_t n)
{
	PUT(to, 16, length);
	PUT32(to, 32, 1 << 5 | (width ? width << 2 : 1 << 2 | 1 << 6));
	memcpy(to + (width ? 56 : 40), data, n);
}

/* main() at main.py:3, calls times itself. */
static void world_make(unsigned calls)
{
	memset(&py, 0, sizeof(py));
	strcpy(py.type_name, "code");
	PUT(py.type, 24, (uintptr_t)py.type_name);
	str_make(py.name, 4, 0, "main", 4);
	str_make(py.file, 7, 0, "main.py", 7);
	PUT(py.lines, 16, 2);
	memcpy(py.lines + 32, "\xe8\x04",
	       2); /* an entry without columns, of one instruction, 2 lines down */
	PUT(py.code, 8, (uintptr_t)py.type);
	PUT32(py.code, 68, 1);
	PUT(py.code, 112, (uintptr_t)py.file);
	PUT(py.code, 128, (uintptr_t)py.name);
	PUT(py.code, 136, (uintptr_t)py.lines);
	for (unsigned i = 0; i < calls; i++) {
		PUT(py.frames[i], 0, (uintptr_t)py.code);
		PUT(py.frames[i], 8, i + 1 < calls ? (uintptr_t)py.frames[i + 1] : 0);
		PUT(py.frames[i], 56, (uintptr_t)py.code + 192);
	}
	PUT(py.cframe, 0, calls ? (uintptr_t)py.frames[0] : 0);
	PUT(py.tstate, 16, (uintptr_t)py.interp);
	PUT(py.tstate, 56, (uintptr_t)py.cframe);
	PUT(py.tstate, 136, SELF);
	PUT(py.interp, 72, (uintptr_t)py.tstate);
	PUT(py.interp, 384, (uintptr_t)py.gil);
	PUT(py.runtime, 40, (uintptr_t)py.interp);
}

static void test_right(void)
{
	TEST("functions, files and lines, innermost first");
	world_make(2);
	read_as(12);
	CHECK(got.n == 1 && got.tid == thread.tid);
	CHECK(strcmp(got.text, "main\tmain.py\t3\nmain\tmain.py\t3\n") == 0);
	CHECK(!*got.missing);

	TEST("of a thread that waits it is one moment's picture");
	CHECK(got.flags == 0);

	TEST("a frame that C code stands behind is no function's");
	*((char *)py.frames[0] + 70) = 3;
	read_as(12);
	CHECK(strcmp(got.text, "main\tmain.py\t3\n") == 0);

	TEST("a thread that is in no function has an empty list");
	world_make(0);
	read_as(12);
	CHECK(got.n == 1 && !*got.text && !*got.missing);

	TEST("who holds the interpreter's lock is told, when it is locked");
	world_make(1);
	PUT(py.gil, 8, (uintptr_t)py.tstate);
	read_as(12);
	CHECK(got.flags == 0);
	PUT32(py.gil, 16, 1);
	read_as(12);
	CHECK(got.flags == FRAMES_GIL);

	TEST("a thread without its number is about to begin; another's is said to be missing");
	PUT(py.tstate, 136, 0);
	read_as(12);
	CHECK(got.n == 0 && !*got.missing);
	PUT(py.tstate, 136, 1);
	read_as(12);
	CHECK(got.n == 0 && strstr(got.missing, "1 Python threads were not among"));
}

static void test_names(void)
{
	static const uint16_t two[] = { 0x51fd, 0x6570, 0xdc80, '\n' };
	static const uint32_t four[] = { 'f', 0x1d487, 0x110000 };
	char longest[300];

	TEST("names in Latin-1, UCS-2 and UCS-4 are UTF-8; what is no character, or breaks lines, "
	     "is '?'");
	world_make(1);
	str_make(py.name, 5, 1,
	         "gr\xf6\xdf"
	         "e",
	         5);
	str_make(py.file, 4, 2, two, sizeof(two));
	read_as(12);
	CHECK(strcmp(got.text, "größe\t函数??\t3\n") == 0);
	str_make(py.file, 3, 4, four, sizeof(four));
	read_as(12);
	CHECK(strcmp(got.text, "größe\tf𝒇?\t3\n") == 0);

	TEST("long ones are cut and show it: of a file the end stays");
	memset(longest, 'd', sizeof(longest));
	memcpy(longest + 290, "/x_main.py", 10);
	world_make(1);
	str_make(py.name, 300, 0, longest, 300);
	str_make(py.file, 300, 0, longest, 300);
	read_as(12);
	CHECK(strlen(got.text) == 2 * 259 + 4);
	CHECK(strstr(got.text, "ddd...\t...ddd") && strstr(got.text, "/x_main.py\t3\n"));

	TEST("a name that ends where memory does is read");
	{
		char str[44], *end;

		str_make(str, 4, 0, "last", 4);
		end = guarded(str, sizeof(str));
		world_make(1);
		PUT(py.code, 128, (uintptr_t)end);
		read_as(12);
		CHECK(strcmp(got.text, "last\tmain.py\t3\n") == 0);
		guarded_free(end, sizeof(str));
	}
}

static void test_limits(void)
{
	TEST("more frames than are shown are cut, and it says so");
	world_make(FRAMES);
	read_as(12);
	CHECK(got.flags == FRAMES_CUT && strlen(got.text) == 512 * 15);

	TEST("frames in a circle end, of functions and of C code");
	world_make(3);
	PUT(py.frames[2], 8, (uintptr_t)py.frames[0]);
	read_as(12);
	CHECK(got.flags == FRAMES_CUT && strlen(got.text) == 512 * 15);
	for (int i = 0; i < 3; i++)
		*((char *)py.frames[i] + 70) = 3;
	read_as(12);
	CHECK(got.flags == FRAMES_CUT && !*got.text);

	TEST("names too long for one record cut the list");
	{
		uint32_t wide[256];

		for (int i = 0; i < 256; i++)
			wide[i] = 0x1d487;
		world_make(100);
		str_make(py.file, 256, 4, wide, sizeof(wide));
		read_as(12);
		CHECK(got.flags == FRAMES_CUT && strlen(got.text) == 31 * (4 + 1 + 1024 + 3));
	}

	TEST("threads and interpreters in a circle end, and each thread comes once");
	world_make(1);
	PUT(py.tstate, 8, (uintptr_t)py.tstate);
	PUT(py.interp, 0, (uintptr_t)py.interp);
	read_as(12);
	CHECK(got.n == 1 && strstr(got.missing, "more Python threads than are read"));
}

/* Each pointer once 0, once wild, once into nothing: no frames, and it says why. */
static void test_hostile(void)
{
	static const uint64_t values[] = { 1, 0xffffffffffffffff, 0xdead0000beef, 4096 };
	struct {
		void *object;
		size_t at;
		const char *why;
	} pointers[] = {
		{ py.runtime, 40, "the list of Python threads" },
		{ py.interp, 72, "the list of Python threads" },
		{ py.interp, 0, "the list of Python threads" },
		{ py.tstate, 16, "the list of Python threads" },
		{ py.tstate, 8, "the list of Python threads" },
		{ py.tstate, 56, "1 Python threads could not be read" },
		{ py.cframe, 0, "1 Python threads could not be read" },
		{ py.frames[1], 0, "1 Python threads could not be read" },
		{ py.frames[0], 8, "1 Python threads could not be read" },
		{ py.code, 8, "1 Python threads could not be read" },
		{ py.code, 112, "1 Python threads could not be read" },
		{ py.code, 128, "1 Python threads could not be read" },
		{ py.type, 24, "1 Python threads could not be read" },
		{ py.name, 16, "1 Python threads could not be read" },
		{ py.name, 32, "1 Python threads could not be read" },
	};

	TEST("a pointer that lies costs the frames it leads to, and is told");
	for (size_t i = 0; i < sizeof(pointers) / sizeof(*pointers); i++) {
		int told = 0;

		for (int k = 0; k < 4; k++) {
			world_make(2);
			PUT(pointers[i].object, pointers[i].at, values[k]);
			/* a name of one character, or 4096, is one */
			if (pointers[i].at == 16 && pointers[i].object == py.name &&
			    values[k] < 8192)
				PUT(py.name, 16, values[1]);
			/* bits that leave it what it was */
			if (pointers[i].at == 32)
				PUT32(py.name, 32, 0);
			read_as(12);
			told += strstr(got.missing, pointers[i].why) != NULL;
		}
		CHECK(told == 4);
	}

	TEST("lines that cannot be read leave the function and its file");
	world_make(1);
	PUT(py.code, 136, 1);
	read_as(12);
	CHECK(strcmp(got.text, "main\tmain.py\t0\n") == 0);
	world_make(1);
	PUT(py.frames[0], 56, 0); /* an instruction before the code */
	read_as(12);
	CHECK(strcmp(got.text, "main\tmain.py\t1\n") == 0);
}

static void test_versions(void)
{
	world_make(1);

	TEST("a version that is not read is named");
	read_as(7);
	CHECK(got.n == 0 && strcmp(got.missing, "frames of CPython 3.7 are not read") == 0);
	read_as(16);
	CHECK(strcmp(got.missing, "frames of CPython 3.16 are not read") == 0);
	read_as(0);
	CHECK(strcmp(got.missing, "a CPython whose version is not known") == 0);

	TEST("a 3.13 that does not say where it keeps things is not read");
	read_as(13);
	CHECK(got.n == 0 && strcmp(got.missing, "frames of CPython 3.13 are not read") == 0);
}

static int pipe_ends[2];

static void *wait_there(void *ctx)
{
	char c;

	(void)ctx;
	__atomic_store_n(&thread.tid, (uint32_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	return read(pipe_ends[0], &c, 1) < 0 ? NULL : &pipe_ends;
}

/* Our own thread runs while it reads: the one read about must not. */
static pthread_t thread_make(void)
{
	char path[64], state = 0;
	pthread_t t;

	if (pipe(pipe_ends) || pthread_create(&t, NULL, wait_there, NULL))
		abort();
	while (!__atomic_load_n(&thread.tid, __ATOMIC_SEQ_CST))
		usleep(1000);
	while (state != 'S') {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%u/stat", thread.tid);
		f = fopen(path, "r");
		if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			abort();
		fclose(f);
	}
	return t;
}

int main(void)
{
	pthread_t t = thread_make();

	test_right();
	test_names();
	test_limits();
	test_hostile();
	test_versions();

	TEST("of a thread that runs meanwhile the frames are marked");
	world_make(1);
	close(pipe_ends[1]);
	pthread_join(t, NULL);
	thread.tid = (uint32_t)getpid();
	read_as(12);
	CHECK(got.n == 1 && got.flags == FRAMES_TORN);
	return DONE();
}
