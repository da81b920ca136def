/* SPDX-License-Identifier: BSD-2-Clause */
/* What the values of options may look like: each kind is read, refused with a reason, and written down. */
#include "option_values.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>

#include "base/pattern.h"
#include "turn_source/spec.h"

/* No benchmark asks for more turns; a typing error might. */
#define TOTAL_MAX 1000000000
/* Below it a file holds a handful of turns, above it no rotation is meant. */
#define ROTATE_SIZE_MIN (4ull << 10)
#define ROTATE_SIZE_MAX (1ull << 40)
#define ROTATE_KEEP_MAX 1000
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

/* A string that struct options owns; a field that is set again gives the old one back, so that a recording that sets one
 * for ever holds one. */
struct options_string {
	struct options_string *next;
	char text[];
};

static const char *keep_text(struct options *o, const char **field, const char *value)
{
	size_t n = strlen(value) + 1;
	struct options_string *s = malloc(sizeof(*s) + n);

	if (!s)
		return "out of memory";
	memcpy(s->text, value, n); /* first: value may be the old one */
	for (struct options_string **p = &o->strings; *p; p = &(*p)->next) {
		struct options_string *old = *p;

		if (old->text != *field)
			continue;
		*p = old->next;
		free(old);
		break;
	}
	s->next = o->strings;
	o->strings = s;
	*field = s->text;
	return NULL;
}

void value_free_all(struct options *o)
{
	while (o->strings) {
		struct options_string *s = o->strings;

		o->strings = s->next;
		free(s);
	}
}

const char *value_text(struct options *o, const struct option *opt, const char *value)
{
	if (!*value)
		return "is empty";
	return keep_text(o, field_of(o, opt), value);
}

bool value_print_text(const struct options *o, const struct option *opt, char *buf, size_t n)
{
	const char *text = *(const char *const *)field_in(o, opt);

	if (text)
		snprintf(buf, n, "%s", text);
	return text != NULL;
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

const char *value_sample(struct options *o, const struct option *opt, const char *value)
{
	uint64_t v = value_positive(value, TOTAL_MAX);

	if (!v)
		return "not a number between 1 (every turn) and 1000000000";
	*(uint64_t *)field_of(o, opt) = v;
	return NULL;
}

bool value_print_sample(const struct options *o, const struct option *opt, char *buf, size_t n)
{
	return value_print_total(o, opt, buf, n) && *(const uint64_t *)field_in(o, opt) > 1;
}

const char *value_size(struct options *o, const struct option *opt, const char *value)
{
	static const char units[] = "kmg";
	size_t n = strspn(value, "0123456789");
	const char *unit = value[n] ? strchr(units, tolower((unsigned char)value[n])) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	char digits[24];
	uint64_t v;

	if (n == 0 || (value[n] && (!unit || value[n + 1])))
		return "not a size in bytes, nor one in k, M or G";
	snprintf(digits, sizeof(digits), "%.*s", n < sizeof(digits) ? (int)n : 23, value);
	v = value_positive(digits, ROTATE_SIZE_MAX >> shift) << shift;
	if (v < ROTATE_SIZE_MIN)
		return "not between 4k and 1024G";
	*(uint64_t *)field_of(o, opt) = v;
	return NULL;
}

const char *value_keep(struct options *o, const struct option *opt, const char *value)
{
	uint64_t v = value_positive(value, ROTATE_KEEP_MAX);

	if (!v)
		return "not a number of files between 1 and 1000";
	*(uint64_t *)field_of(o, opt) = v;
	return NULL;
}

const char *value_match(struct options *o, const struct option *opt, const char *value)
{
	const char *why = *value ? pattern_check(value) : "is empty, and would match every process";

	return why ? why : keep_text(o, field_of(o, opt), value);
}

static const char *const progress_styles[] = {
	[PROGRESS_TQDM] = "tqdm",
	[PROGRESS_NONE] = "none",
};
#define STYLES_N (sizeof(progress_styles) / sizeof(progress_styles[0]))

const char *choice_progress(size_t i)
{
	return i < STYLES_N ? progress_styles[i] : NULL;
}

const char *value_progress(struct options *o, const struct option *opt, const char *value)
{
	for (size_t i = 0; i < STYLES_N; i++)
		if (strcmp(value, progress_styles[i]) == 0)
			return *(enum progress_mode *)field_of(o, opt) = (enum progress_mode)i,
			                                          NULL;
	return "no such style of progress";
}

const char *choice_turns(size_t i)
{
	static const char *const sources[] = {
		"auto", "llm", "http", "jsonl:", "stdout:", "idle:"
	};

	return i < sizeof(sources) / sizeof(sources[0]) ? sources[i] : NULL;
}

const char *value_turns(struct options *o, const struct option *opt, const char *value)
{
	struct turns_spec spec;
	const char *why = turns_spec_parse(value, &spec);

	return why ? why : keep_text(o, field_of(o, opt), value);
}

const char *choice_profile(size_t i)
{
	return turns_profiles[i].name;
}

const char *value_profile(struct options *o, const struct option *opt, const char *value)
{
	if (!turns_profile_find(value))
		return "no such profile";
	return keep_text(o, field_of(o, opt), value);
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

/* Why a run is not stopped by this one; NULL for one that may. */
static const char *signal_refused(int signo)
{
	static const int harmless[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
		                        SIGCONT, SIGCHLD, SIGURG,  SIGWINCH };

	if (!signo)
		return "no such signal";
	if (signo == SIGKILL)
		return "SIGKILL lets no run save its work; --stop-kill sends it last";
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (signo == harmless[i])
			return "this signal ends no process";
	return NULL;
}

const char *choice_signal(size_t i)
{
	static char name[16];

	for (int signo = 1; signo < NSIG; signo++) {
		if (!sigabbrev_np(signo) || signal_refused(signo) || i-- > 0)
			continue;
		snprintf(name, sizeof(name), "SIG%s", sigabbrev_np(signo));
		return name;
	}
	return NULL;
}

const char *value_stop(struct options *o, const struct option *opt, const char *value)
{
	int signo = value ? value_signal(value) : SIGINT;
	const char *why = signal_refused(signo);

	if (why)
		return why;
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
