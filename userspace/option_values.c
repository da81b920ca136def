/* SPDX-License-Identifier: BSD-2-Clause */
/* What the values of options may look like: each kind is read, refused with a reason, and written down. */
#include "option_values.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>

/* No benchmark asks for more turns; a typing error might. */
#define TOTAL_MAX 1000000000
/* Longer waits are typing errors, or seconds taken for minutes. */
#define YEAR_S (366.0 * 86400)

static void *field_of(struct options *o, const struct option *opt)
{
	return (char *)o + opt->field;
}

static const void *field_in(const struct options *o, const struct option *opt)
{
	return (const char *)o + opt->field;
}

const char *value_true(struct options *o, const struct option *opt, const char *value)
{
	(void)value;
	*(bool *)field_of(o, opt) = true;
	return NULL;
}

const char *value_text(struct options *o, const struct option *opt, const char *value)
{
	if (!*value)
		return "is empty";
	*(const char **)field_of(o, opt) = value;
	return NULL;
}

/* Plain decimals only, whatever the locale: no sign, exponent, hexadecimal, infinity or NaN. At most six decimals, so
 * that what is written down reads back as the same number. */
static const char *decimal(const char *s, double max, const char *not_a, double *value)
{
	size_t whole = strspn(s, "0123456789");
	const char *frac = s[whole] == '.' ? s + whole + 1 : s + whole;
	size_t decimals = strspn(frac, "0123456789");
	uint64_t micro = 0;

	if (*s == '-' && (isdigit((unsigned char)s[1]) || s[1] == '.'))
		return "is negative";
	if (frac[decimals] || whole + decimals == 0)
		return not_a;
	if (decimals > 6)
		return "has more than six decimals";
	while (whole > 1 && *s == '0')
		s++, whole--;
	if (whole > 9)
		return "is longer than a year";
	for (size_t i = 0; i < whole; i++)
		micro = micro * 10 + (uint64_t)(s[i] - '0');
	for (size_t i = 0; i < 6; i++)
		micro = micro * 10 + (i < decimals ? (uint64_t)(frac[i] - '0') : 0);
	if ((double)micro / 1e6 > max)
		return "is longer than a year";
	*value = (double)micro / 1e6;
	return NULL;
}

/* What stands between the scheme and the path, without a user: a host or [IPv6], and a port. */
static bool is_authority(const char *s, size_t n)
{
	size_t host = s[0] == '[' ? strcspn(s, "]") + 1 : strcspn(s, ":/?#");

	if (n == 0 || host > n || host == 0)
		return false;
	for (size_t i = 0; i < host; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-._[]:", s[i]))
			return false;
	if (host == n)
		return true;
	return s[host] == ':' && host + 1 < n && n - host <= 6 &&
	       strspn(s + host + 1, "0123456789") == n - host - 1;
}

/* Strict about the host: whatever else stands there may be part of a password, and would be shown as the host. */
const char *value_url(struct options *o, const struct option *opt, const char *value)
{
	const char *host, *at;
	size_t n;

	if (strncasecmp(value, "http://", 7) == 0)
		host = value + 7;
	else if (strncasecmp(value, "https://", 8) == 0)
		host = value + 8;
	else
		return "not an http or https URL";
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return "a blank or control character in it";
	n = strcspn(host, "/?#");
	at = memrchr(host, '@', n);
	if (at) {
		n -= (size_t)(at + 1 - host);
		host = at + 1;
	}
	if (!is_authority(host, n))
		return "no host in it, or one with characters that must be escaped";
	return value_text(o, opt, value);
}

const char *value_minutes(struct options *o, const struct option *opt, const char *value)
{
	return decimal(value, YEAR_S / 60, "not a number of minutes", field_of(o, opt));
}

const char *value_seconds(struct options *o, const struct option *opt, const char *value)
{
	return decimal(value, YEAR_S, "not a number of seconds", field_of(o, opt));
}

bool value_print_decimal(const struct options *o, const struct option *opt, char *buf, size_t n)
{
	uint64_t micro = (uint64_t)llround(*(const double *)field_in(o, opt) * 1e6);
	int len = snprintf(buf, n, "%llu.%06llu", (unsigned long long)(micro / 1000000),
	                   (unsigned long long)(micro % 1000000));

	while (len > 1 && buf[len - 1] == '0')
		buf[--len] = '\0';
	if (buf[len - 1] == '.')
		buf[len - 1] = '\0';
	return true;
}

uint64_t value_positive(const char *s, uint64_t max)
{
	uint64_t v = 0;

	for (; isdigit((unsigned char)*s); s++) {
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > max)
			return 0;
	}
	return *s ? 0 : v;
}

const char *value_total(struct options *o, const struct option *opt, const char *value)
{
	uint64_t v = value_positive(value, TOTAL_MAX);

	if (!v)
		return "not a number of turns between 1 and 1000000000";
	*(uint64_t *)field_of(o, opt) = v;
	return NULL;
}

bool value_print_total(const struct options *o, const struct option *opt, char *buf, size_t n)
{
	uint64_t v = *(const uint64_t *)field_in(o, opt);

	snprintf(buf, n, "%llu", (unsigned long long)v);
	return v != 0;
}

const char *value_progress(struct options *o, const struct option *opt, const char *value)
{
	enum progress_mode *mode = field_of(o, opt);

	if (strcmp(value, "tqdm") == 0)
		*mode = PROGRESS_TQDM;
	else if (strcmp(value, "none") == 0)
		*mode = PROGRESS_NONE;
	else
		return "no such style of progress";
	return NULL;
}

const char *value_turns(struct options *o, const struct option *opt, const char *value)
{
	static const char *const sources[] = { "auto", "llm" };

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (strcmp(value, sources[i]) == 0)
			return *(const char **)field_of(o, opt) = sources[i], NULL;
	return "no such source of turns";
}

bool value_print_turns(const struct options *o, const struct option *opt, char *buf, size_t n)
{
	snprintf(buf, n, "%s", *(const char *const *)field_in(o, opt));
	return true;
}

static int rule_check(char kind, const char *spec, const char **why)
{
	struct endpoint_rules *r = endpoint_rules_new();
	int ret = -ENOMEM;

	*why = "out of memory";
	if (r)
		ret = kind == 'l'   ? endpoint_rules_add_llm(r, spec, why)
		      : kind == 's' ? endpoint_rules_add_storage(r, spec, why)
		                    : endpoint_rules_add_heartbeat(r, spec, why);
	endpoint_rules_free(r);
	return ret;
}

const char *value_rule(struct options *o, const struct option *opt, const char *value)
{
	const char *why;
	char *copy;

	if (o->nrules == OPTIONS_RULES_MAX)
		return "too many endpoints, at most 64 can be named";
	if (strlen(value) > SPEC_MAX)
		return "longer than any host name";
	if (rule_check(opt->rule, value, &why))
		return why;
	copy = strdup(value);
	if (!copy)
		return "out of memory";
	o->rules[o->nrules].spec = copy;
	o->rules[o->nrules++].kind = opt->rule;
	return NULL;
}

int value_signal(const char *s)
{
	const char *name = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s;
	uint64_t number = value_positive(s, (uint64_t)SIGRTMAX);

	if (number)
		return (int)number;
	for (int i = 1; i < NSIG; i++)
		if (sigabbrev_np(i) && strcasecmp(sigabbrev_np(i), name) == 0)
			return i;
	return 0;
}

const char *value_stop(struct options *o, const struct option *opt, const char *value)
{
	static const int harmless[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
		                        SIGCONT, SIGCHLD, SIGURG,  SIGWINCH };
	int signo = value ? value_signal(value) : SIGINT;

	if (!signo)
		return "no such signal";
	if (signo == SIGKILL)
		return "SIGKILL lets no run save its work; --stop-kill sends it last";
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (signo == harmless[i])
			return "this signal ends no process";
	o->stop_signal = signo;
	return value_true(o, opt, NULL);
}

/* More than any process may have open (fs.nr_open by default). */
#define FD_MAX 1048576

const char *value_unstick(struct options *o, const struct option *opt, const char *value)
{
	uint64_t fd = value ? value_positive(value, FD_MAX) : 0;

	if (value && !fd && strcmp(value, "0") != 0)
		return "not the number of a descriptor";
	o->unstick_fd = value ? (int)fd : -1;
	return value_true(o, opt, NULL);
}

static void set_level(struct options *o, enum log_level level)
{
	o->log_level = level;
	o->verbose = level == LEVEL_DEBUG;
	o->quiet = level == LEVEL_ERROR;
}

const char *value_verbose(struct options *o, const struct option *opt, const char *value)
{
	(void)opt, (void)value;
	set_level(o, LEVEL_DEBUG);
	return NULL;
}

const char *value_quiet(struct options *o, const struct option *opt, const char *value)
{
	(void)opt, (void)value;
	set_level(o, LEVEL_ERROR);
	return NULL;
}

const char *value_level(struct options *o, const struct option *opt, const char *value)
{
	enum log_level level;

	(void)opt;
	if (!log_level_parse(value, &level))
		return "no such level";
	set_level(o, level);
	return NULL;
}
