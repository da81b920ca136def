/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS code in files without symbols: what is found, what is not claimed, and files that are cut or lie. */
#include "tls_code.h"

#include <errno.h>

#include "elf_image.h"
#include "test.h"
#include "tls_fixture.h"

static int as_file(const uint8_t *file, size_t n)
{
	int fd = memfd_create("sample", 0);

	if (fd < 0 || write(fd, file, n) != (ssize_t)n)
		abort();
	return fd;
}

static int find(const uint8_t *file, size_t n, struct tls_code *to)
{
	int fd = as_file(file, n), err = tls_code_find(fd, "sample", to);

	close(fd);
	return err;
}

static struct tls_code found(const struct sample *s)
{
	uint8_t file[SAMPLE_SIZE];
	struct tls_code code;

	sample_make(s, file);
	CHECK(find(file, sizeof(file), &code) == 0);
	return code;
}

static bool family_is(const struct tls_code *code, const char *family)
{
	return code->family && strcmp(code->family, family) == 0;
}

/* Is the function f hooked as this? */
static bool hooked(const struct tls_code *code, unsigned f, enum tls_function function,
                   enum tls_program program)
{
	for (size_t i = 0; i < code->n; i++)
		if (code->places[i].offset == CODE + (uint64_t)f * FUNCTION_SIZE &&
		    code->places[i].cookie == function && code->places[i].program == program)
			return true;
	return false;
}

static bool both(const struct tls_code *code, unsigned f, enum tls_function function)
{
	return hooked(code, f, function, TLS_AT_ENTRY) && hooked(code, f, function, TLS_AT_RETURN);
}

static void check_openssl(void)
{
	const struct sample four = { OPENSSL_3, RESULT_4 }, mov = { OPENSSL_3, RESULT_4_MOV },
			    five = { OPENSSL_3, RESULT_5 }, none = { OPENSSL_3 },
			    old = { OPENSSL_11, RESULT_4 },
			    fixed = { OPENSSL_3, RESULT_4, .sections = true };
	struct tls_code c = found(&four);

	TEST("the internal functions of OpenSSL 3 are found by the names they note with errors");
	CHECK(family_is(&c, "openssl") && c.functions == 3 && c.n == 5);
	CHECK(both(&c, F_READ_INTERNAL, TLS_READ_EX));
	CHECK(both(&c, F_WRITE_INTERNAL, TLS_WRITE_EX));
	CHECK(hooked(&c, F_NEW, TLS_NEW, TLS_AT_RETURN));
	CHECK(!hooked(&c, F_NEW, TLS_NEW, TLS_AT_ENTRY));
	c = found(&mov);
	CHECK(c.n == 5 && both(&c, F_WRITE_INTERNAL, TLS_WRITE_EX));

	TEST("which argument the result goes to is told by the call in SSL_write");
	c = found(&five);
	CHECK(c.n == 5 && both(&c, F_WRITE_INTERNAL, TLS_WRITE_EX2));

	TEST("where that is not to be seen, the public functions are taken");
	c = found(&none);
	CHECK(c.n == 5 && both(&c, F_READ, TLS_READ) && both(&c, F_WRITE, TLS_WRITE));

	TEST("those of OpenSSL 1.1 are found by their numbers");
	c = found(&old);
	CHECK(family_is(&c, "openssl") && c.n == 5 && both(&c, F_READ_INTERNAL, TLS_READ_EX) &&
	      both(&c, F_WRITE_INTERNAL, TLS_WRITE_EX));

	TEST("an executable without .eh_frame_hdr has .eh_frame by its section's name");
	c = found(&fixed);
	CHECK(c.n == 5 && both(&c, F_READ_INTERNAL, TLS_READ_EX));
}

static void check_unproven(void)
{
	const struct sample uncalled = { OPENSSL_3, RESULT_4, .uncalled = true },
			    copied = { OPENSSL_3, RESULT_4, .copied = true },
			    nameless = { .source = SOURCE_NAME },
			    boring = { .source = "boringssl/src/ssl/ssl_lib.cc" },
			    rust = { .source = "/registry/rustls-0.23.12/src/conn.rs" },
			    nothing = { .source = "nothing/to/see.c" };
	struct tls_code c = found(&uncalled);

	TEST("what nobody calls may be a part of a function, and is not hooked");
	CHECK(family_is(&c, "openssl") && c.n == 0 && c.how);

	TEST("a name in two functions proves neither: the public functions are taken");
	c = found(&copied);
	CHECK(family_is(&c, "openssl") && both(&c, F_READ, TLS_READ) &&
	      !both(&c, F_READ_INTERNAL, TLS_READ_EX));

	TEST("TLS code that cannot be read is told as what it is, and why");
	c = found(&nameless);
	CHECK(family_is(&c, "openssl") && c.n == 0 && c.how && c.functions == 0);
	c = found(&boring);
	CHECK(family_is(&c, "boringssl") && c.n == 0 && c.how);
	c = found(&rust);
	CHECK(family_is(&c, "rustls") && c.n == 0 && c.how);

	TEST("a file without TLS code has no family");
	c = found(&nothing);
	CHECK(!c.family && c.n == 0);
}

static struct tls_code boring(enum sample_boring how)
{
	const struct sample s = { .source = "../vendor/boringssl/ssl/ssl_lib.cc",
		                  .boring = how,
		                  .uncalled = how == BORING_POINTED,
		                  .tables = how == BORING_POINTED };
	struct tls_code c = found(&s);

	CHECK(family_is(&c, "boringssl") && c.how);
	return c;
}

static void check_boringssl(void)
{
	static const enum sample_boring told[] = { BORING_INLINED, BORING_CALLS, BORING_WITHOUT,
		                                   BORING_POINTED };
	static const enum sample_boring untold[] = { BORING_BOTH_TAKE, BORING_NONE_TAKES,
		                                     BORING_ORDER, BORING_THREE, BORING_LIBRARY };

	TEST("BoringSSL's functions are found by the reasons and the lines of its errors, and "
	     "SSL_read by what it does");
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		struct tls_code c = boring(told[i]);

		CHECK(c.functions == 3 && c.n == 5);
		CHECK(both(&c, F_READ, TLS_READ) && both(&c, F_WRITE, TLS_WRITE) &&
		      hooked(&c, F_NEW, TLS_NEW, TLS_AT_RETURN));
	}

	TEST("where its errors or its code are not like that, nothing is hooked, and why is told");
	for (size_t i = 0; i < sizeof(untold) / sizeof(untold[0]); i++) {
		struct tls_code c = boring(untold[i]);

		CHECK(c.n == 0);
	}
}

static struct tls_code tables(const struct sample *s)
{
	struct tls_code c = { 0 };
	uint8_t file[SAMPLE_SIZE];
	struct elf_image im;
	int fd;

	sample_make(s, file);
	fd = as_file(file, sizeof(file));
	CHECK(elf_image_open(&im, fd) == 0 && tls_code_nss_tables(&im, &c) == 0);
	elf_image_close(&im);
	close(fd);
	return c;
}

static void check_nss(void)
{
	const struct sample two = { .source = "", .tables = true },
			    alike = { .source = "", .tables = true, .tables_alike = true },
			    none = { .source = "" };
	struct tls_code c = tables(&two);

	TEST("of NSS's two tables the one is hooked whose read leads to its recv");
	CHECK(c.functions == 3 && both(&c, F_READ_INTERNAL, TLS_READ_FLAGS) &&
	      both(&c, F_WRITE_INTERNAL, TLS_WRITE) &&
	      hooked(&c, F_CALLER, TLS_FREE, TLS_AT_ENTRY));

	TEST("tables that cannot be told apart, or none, are said to be so");
	c = tables(&alike);
	CHECK(c.n == 0 && c.how);
	c = tables(&none);
	CHECK(c.n == 0 && c.how);
}

/* Whatever the file is, nothing outside of it is claimed. */
static bool sane(const uint8_t *file, size_t n)
{
	struct tls_code c = { 0 };
	struct elf_image im;
	int fd = as_file(file, n), err = tls_code_find(fd, "sample", &c);
	bool ok = true;

	for (size_t i = 0; !err && i < c.n; i++)
		ok &= c.places[i].offset > 0 && c.places[i].offset < n;
	if (elf_image_open(&im, fd) == 0) {
		memset(&c, 0, sizeof(c));
		tls_code_nss_tables(&im, &c);
		for (size_t i = 0; i < c.n; i++)
			ok &= c.places[i].offset > 0 && c.places[i].offset < n;
		elf_image_close(&im);
	}
	close(fd);
	return ok;
}

static void check_hostile(void)
{
	static const uint8_t lies[] = { 0x00, 0x7f, 0xff };
	const struct sample samples[] = { { OPENSSL_3, RESULT_4, .tables = true },
		                          { OPENSSL_11, RESULT_5, .sections = true },
		                          { .source = "ssl/ssl_lib.cc", .boring = BORING_CALLS } };
	bool cut = true, changed = true;
	uint8_t file[SAMPLE_SIZE];
	struct tls_code c;

	TEST("a file that ends anywhere, and one with any byte wrong, is taken for no more than it "
	     "is");
	for (size_t s = 0; s < sizeof(samples) / sizeof(samples[0]); s++) {
		sample_make(&samples[s], file);
		for (size_t n = 0; n < sizeof(file); n++)
			cut &= sane(file, n);
		for (size_t i = 0; i < CODE; i++) {
			uint8_t was = file[i];

			for (size_t k = 0; k < sizeof(lies); k++) {
				file[i] = lies[k];
				if (was != lies[k] && (was || lies[k] == 0xff))
					changed &= sane(file, sizeof(file));
			}
			file[i] = was;
		}
	}
	CHECK(cut);
	CHECK(changed);

	TEST("what is no ELF file is refused");
	memset(file, 'x', sizeof(file));
	CHECK(find(file, sizeof(file), &c) == -ENOEXEC);
	CHECK(find(file, 0, &c) == -ENOEXEC);
}

int main(void)
{
	check_openssl();
	check_unproven();
	check_boringssl();
	check_nss();
	check_hostile();
	return DONE();
}
