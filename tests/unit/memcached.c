/* SPDX-License-Identifier: BSD-2-Clause */
/* memcached: commands and replies become calls, whatever the pieces they come in. */
#include "mask_fixture.h"

#define GIVES(steps, expected) \
	CHECK(gives(&proto_memcached, &from_start, steps, COUNT(steps), expected))
#define HONEST(steps) CHECK(holes_are_honest(&proto_memcached, steps, COUNT(steps)))
#define JOINED(steps) CHECK(joins_are_honest(&proto_memcached, steps, COUNT(steps)))

/* Captured from real clients with memcached 1.6. */
static const struct step pymemcache[] = {
	S(OUT, "version\x0d\x0a"),
	S(IN, "VERSION 1.6.18\x0d\x0a"),
	S(OUT, "set k 0 0 2\x0d\x0av1\x0d\x0a"),
	S(IN, "STORED\x0d\x0a"),
	S(OUT, "get k\x0d\x0a"),
	S(IN, "VALUE k 0 2\x0d\x0av1\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "get none\x0d\x0a"),
	S(IN, "END\x0d\x0a"),
	S(OUT, "add k 0 0 1\x0d\x0ax\x0d\x0a"),
	S(IN, "NOT_STORED\x0d\x0a"),
	S(OUT, "set n 0 0 1\x0d\x0a"
	       "5\x0d\x0a"),
	S(IN, "STORED\x0d\x0a"),
	S(OUT, "incr n 2\x0d\x0a"),
	S(IN, "7\x0d\x0a"),
	S(OUT, "delete k\x0d\x0a"),
	S(IN, "DELETED\x0d\x0a"),
	S(OUT, "touch n 10\x0d\x0a"),
	S(IN, "TOUCHED\x0d\x0a"),
	S(OUT, "gets n\x0d\x0a"),
	S(IN, "VALUE n 0 1 3\x0d\x0a"
	      "7\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "set a 0 0 1\x0d\x0a"
	       "1\x0d\x0aset b 0 0 1\x0d\x0a"
	       "2\x0d\x0a"),
	S(IN, "STORED\x0d\x0aSTORED\x0d\x0a"),
	S(OUT, "get a b z\x0d\x0a"),
	S(IN, "VALUE a 0 1\x0d\x0a"
	      "1\x0d\x0aVALUE b 0 1\x0d\x0a"
	      "2\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "stats\x0d\x0a"),
	S(IN,
	  "STAT pid 466\x0d\x0aSTAT uptime 2\x0d\x0aSTAT time 1795881180\x0d\x0aSTAT version "
	  "1.6.18\x0d\x0aSTAT libevent 2.1.12-stable\x0d\x0aSTAT pointer_size 64\x0d\x0aSTAT "
	  "rusage_user 0.000000\x0d\x0aSTAT rusage_system 0.010306\x0d\x0aSTAT max_connections "
	  "1024\x0d\x0aSTAT curr_connections 1\x0d\x0aSTAT total_connections 2\x0d\x0aSTAT "
	  "rejected_connections 0\x0d\x0aSTAT connection_structures 2\x0d\x0aSTAT response_obj_oom "
	  "0\x0d\x0aSTAT response_obj_count 1\x0d\x0aSTAT response_obj_bytes 16384\x0d\x0aSTAT "
	  "read_buf_count 2\x0d\x0aSTAT read_buf_bytes 32768\x0d\x0aSTAT read_buf_bytes_free "
	  "0\x0d\x0aSTAT read_buf_oom 0\x0d\x0aSTAT reserved_fds 20\x0d\x0aSTAT cmd_get "
	  "6\x0d\x0aSTAT cmd_set 5\x0d\x0aSTAT cmd_flush 0\x0d\x0aSTAT cmd_touch 1\x0d\x0aSTAT "
	  "cmd_meta 0\x0d\x0aSTAT get_hits 4\x0d\x0aSTAT get_misses 2\x0d\x0aSTAT get_expired "
	  "0\x0d\x0aSTAT get_flushed 0\x0d\x0aSTAT delete_misses 0\x0d\x0aSTAT delete_hits "
	  "1\x0d\x0aSTAT incr_misses 0\x0d\x0aSTAT incr_hits 1\x0d\x0aSTAT decr_misses "
	  "0\x0d\x0aSTAT decr_hits 0\x0d\x0aSTAT cas_misses 0\x0d\x0aSTAT cas_hits 0\x0d\x0aSTAT "
	  "cas_badval 0\x0d\x0aSTAT touch_hits 1\x0d\x0aSTAT touch_misses 0\x0d\x0aSTAT "
	  "store_too_large 0\x0d\x0aSTAT store_no_memory 0\x0d\x0aSTAT auth_cmds 0\x0d\x0aSTAT "
	  "auth_errors 0\x0d\x0aSTAT bytes_read 165\x0d\x0aSTAT bytes_written 168\x0d\x0aSTAT "
	  "limit_maxbytes 67108864\x0d\x0aSTAT accepting_conns 1\x0d\x0aSTAT listen_disabled_num "
	  "0\x0d\x0aSTAT time_in_listen_disabled_us 0\x0d\x0aSTAT threads 4\x0d\x0aSTAT "
	  "conn_yields 0\x0d\x0aSTAT hash_power_level 16\x0d\x0aSTAT hash_bytes 524288\x0d\x0aSTAT "
	  "hash_is_expanding 0\x0d\x0aSTAT slab_reassign_rescues 0\x0d\x0aSTAT "
	  "slab_reassign_chunk_rescues 0\x0d\x0aSTAT slab_reassign_evictions_nomem 0\x0d\x0aSTAT "
	  "slab_reassign_inline_reclaim 0\x0d\x0aSTAT slab_reassign_busy_items 0\x0d\x0aSTAT "
	  "slab_reassign_busy_deletes 0\x0d\x0aSTAT slab_reassign_running 0\x0d\x0aSTAT "
	  "slabs_moved 0\x0d\x0aSTAT lru_crawler_running 0\x0d\x0aSTAT lru_crawler_starts "
	  "1\x0d\x0aSTAT lru_maintainer_juggles 38\x0d\x0aSTAT malloc_fails 0\x0d\x0aSTAT "
	  "log_worker_dropped 0\x0d\x0aSTAT log_worker_written 0\x0d\x0aSTAT log_watcher_skipped "
	  "0\x0d\x0aSTAT log_watcher_sent 0\x0d\x0aSTAT log_watchers 0\x0d\x0aSTAT "
	  "unexpected_napi_ids 0\x0d\x0aSTAT round_robin_fallback 0\x0d\x0aSTAT bytes "
	  "183\x0d\x0aSTAT curr_items 3\x0d\x0aSTAT total_items 4\x0d\x0aSTAT "
	  "slab_global_page_pool 0\x0d\x0aSTAT expired_unfetched 0\x0d\x0aSTAT evicted_unfetched "
	  "0\x0d\x0aSTAT evicted_active 0\x0d\x0aSTAT evictions 0\x0d\x0aSTAT reclaimed "
	  "0\x0d\x0aSTAT crawler_reclaimed 0\x0d\x0aSTAT crawler_items_checked 0\x0d\x0aSTAT "
	  "lrutail_reflocked 0\x0d\x0aSTAT moves_to_cold 0\x0d\x0aSTAT moves_to_warm 0\x0d\x0aSTAT "
	  "moves_within_lru 0\x0d\x0aSTAT direct_reclaims 0\x0d\x0aSTAT lru_bumps_dropped 0\x0d\x0a"
	  "END\x0d\x0a"),
	S(IN, "SERVER_ERROR object too large for cache\x0d\x0a"),
};

static const struct step pymemcache2[] = {
	S(OUT, "set q 0 0 7 noreply\x0d\x0anoreply\x0d\x0aget q\x0d\x0a"),
	S(IN, "VALUE q 0 7\x0d\x0anoreply\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "flush_all 0\x0d\x0a"),
	S(IN, "OK\x0d\x0a"),
	S(OUT, "quit\x0d\x0a"),
};

static const struct step python_memcache[] = {
	S(OUT, "set k 2 0 1 \x0d\x0a"
	       "1\x0d\x0a"),
	S(IN, "STORED\x0d\x0a"),
	S(OUT, "get k\x0d\x0a"),
	S(IN, "VALUE k 2 1\x0d\x0a"
	      "1\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "set a 2 0 1 \x0d\x0a"
	       "1\x0d\x0aset b 2 0 1 \x0d\x0a"
	       "2\x0d\x0a"),
	S(IN, "STORED\x0d\x0aSTORED\x0d\x0a"),
	S(OUT, "get a b\x0d\x0a"),
	S(IN, "VALUE a 2 1\x0d\x0a"
	      "1\x0d\x0aVALUE b 2 1\x0d\x0a"
	      "2\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "delete a\x0d\x0a"),
	S(IN, "DELETED\x0d\x0a"),
};

static const struct step meta[] = {
	S(OUT, "ms m 2\x0d\x0ahi\x0d\x0a"),
	S(IN, "HD\x0d\x0a"),
	S(OUT, "mg m v t\x0d\x0a"),
	S(IN, "VA 2 t-1\x0d\x0ahi\x0d\x0a"),
	S(OUT, "mg none v\x0d\x0a"),
	S(IN, "EN\x0d\x0a"),
	S(OUT, "ms a 1 q\x0d\x0a"
	       "1\x0d\x0amg a v q\x0d\x0amg none v q\x0d\x0amn\x0d\x0a"),
	S(IN, "VA 1\x0d\x0a"
	      "1\x0d\x0aMN\x0d\x0a"),
	S(OUT, "md m q\x0d\x0amn\x0d\x0a"),
	S(IN, "MN\x0d\x0a"),
	S(OUT, "ma n\x0d\x0a"),
	S(IN, "NF\x0d\x0a"),
	S(OUT, "me a\x0d\x0a"),
	S(IN, "ME a exp=-1 la=1 cas=12 fetch=yes cls=1 size=61\x0d\x0a"),
	S(OUT, "mn\x0d\x0a"),
	S(IN, "MN\x0d\x0a"),
	S(OUT, "nonsense\x0d\x0a"),
	S(IN, "ERROR\x0d\x0a"),
	S(OUT, "get\x0d\x0a"),
	S(IN, "ERROR\x0d\x0a"),
	S(OUT, "incr k 1\x0d\x0a"),
	S(IN, "2\x0d\x0a"),
};

/* Values that look like replies, commands that fail in every way. */
static const struct step values[] = {
	S(OUT, "set k 5 0 14\x0d\x0aVALUE\x0d\x0a"
	       "END\x0d\x0aok\x0d\x0a"),
	S(IN, "STORED\x0d\x0a"),
	S(OUT, "get k\x0d\x0a"),
	S(IN, "VALUE k 5 14\x0d\x0aVALUE\x0d\x0a"
	      "END\x0d\x0aok\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "gets k\x0d\x0a"),
	S(IN, "VALUE k 5 14 1\x0d\x0aVALUE\x0d\x0a"
	      "END\x0d\x0aok\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "cas k 0 0 1 1\x0d\x0ax\x0d\x0a"),
	S(IN, "STORED\x0d\x0a"),
	S(OUT, "cas none 0 0 1 1\x0d\x0ax\x0d\x0a"),
	S(IN, "NOT_FOUND\x0d\x0a"),
	S(OUT, "gat 100 k none\x0d\x0a"),
	S(IN, "VALUE k 0 1\x0d\x0ax\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "gats 100 k\x0d\x0a"),
	S(IN, "VALUE k 0 1 2\x0d\x0ax\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "append k 0 0 2\x0d\x0a\x0d\x0a\x0d\x0a"),
	S(IN, "STORED\x0d\x0a"),
	S(OUT, "prepend k 0 0 1\x0d\x0a"
	       "a\x0d\x0a"),
	S(IN, "STORED\x0d\x0a"),
	S(OUT, "replace none 0 0 1\x0d\x0a"
	       "b\x0d\x0a"),
	S(IN, "NOT_STORED\x0d\x0a"),
	S(OUT, "set e 0 0 0\x0d\x0a\x0d\x0a"),
	S(IN, "STORED\x0d\x0a"),
	S(OUT, "get e\x0d\x0a"),
	S(IN, "VALUE e 0 0\x0d\x0a\x0d\x0a"
	      "END\x0d\x0a"),
	S(OUT, "incr k 1\x0d\x0a"),
	S(IN, "CLIENT_ERROR cannot increment or decrement non-numeric value\x0d\x0a"),
	S(OUT, "set n 0 0 1\x0d\x0a"
	       "5\x0d\x0a"),
	S(IN, "STORED\x0d\x0a"),
	S(OUT, "decr n 9\x0d\x0a"),
	S(IN, "0\x0d\x0a"),
	S(OUT, "touch none 1\x0d\x0a"),
	S(IN, "NOT_FOUND\x0d\x0a"),
	S(OUT, "delete n noreply\x0d\x0aincr n 1 noreply\x0d\x0aget n\x0d\x0a"),
	S(IN, "END\x0d\x0a"),
	S(OUT, "set k 0 0 abc\x0d\x0a"),
	S(IN, "CLIENT_ERROR bad command line format\x0d\x0a"),
	S(OUT, "gets\x0d\x0a"),
	S(IN, "ERROR\x0d\x0a"),
	S(OUT, "verbosity 1\x0d\x0a"),
	S(IN, "OK\x0d\x0a"),
	S(OUT, "cache_memlimit 64\x0d\x0a"),
	S(IN, "OK\x0d\x0a"),
	S(OUT, "lru tune 10 25 0.1 2.0\x0d\x0a"),
	S(IN, "OK\x0d\x0a"),
	S(OUT, "slabs automove 0\x0d\x0a"),
	S(IN, "OK\x0d\x0a"),
	S(OUT, "lru_crawler disable\x0d\x0a"),
	S(IN, "OK\x0d\x0a"),
	S(OUT, "stats items\x0d\x0a"),
	S(IN,
	  "STAT items:1:number 2\x0d\x0aSTAT items:1:number_hot 0\x0d\x0aSTAT items:1:number_warm "
	  "0\x0d\x0aSTAT items:1:number_cold 2\x0d\x0aSTAT items:1:age_hot 0\x0d\x0aSTAT "
	  "items:1:age_warm 0\x0d\x0aSTAT items:1:age 2\x0d\x0aSTAT items:1:mem_requested "
	  "124\x0d\x0aSTAT items:1:evicted 0\x0d\x0aSTAT items:1:evicted_nonzero 0\x0d\x0aSTAT "
	  "items:1:evicted_time 0\x0d\x0aSTAT items:1:outofmemory 0\x0d\x0aSTAT "
	  "items:1:tailrepairs 0\x0d\x0aSTAT items:1:reclaimed 0\x0d\x0aSTAT "
	  "items:1:expired_unfetched 0\x0d\x0aSTAT items:1:evicted_unfetched 0\x0d\x0aSTAT "
	  "items:1:evicted_active 0\x0d\x0aSTAT items:1:crawler_reclaimed 0\x0d\x0aSTAT "
	  "items:1:crawler_items_checked 0\x0d\x0aSTAT items:1:lrutail_reflocked 8\x0d\x0aSTAT "
	  "items:1:moves_to_cold 8\x0d\x0aSTAT items:1:moves_to_warm 2\x0d\x0aSTAT "
	  "items:1:moves_within_lru 0\x0d\x0aSTAT items:1:direct_reclaims 0\x0d\x0aSTAT "
	  "items:1:hits_to_hot 0\x0d\x0aSTAT items:1:hits_to_warm 0\x0d\x0aSTAT "
	  "items:1:hits_to_cold 3\x0d\x0aSTAT items:1:hits_to_temp 0\x0d\x0a"
	  "END\x0d\x0a"),
	S(OUT, "stats reset\x0d\x0a"),
	S(IN, "RESET\x0d\x0a"),
	S(OUT, "flush_all noreply\x0d\x0amn\x0d\x0a"),
	S(IN, "MN\x0d\x0a"),
};

/* Meta commands with what their flags bring back. */
static const struct step metas[] = {
	S(OUT, "ms a 2 c O1 k\x0d\x0ahi\x0d\x0a"),
	S(IN, "HD c9 O1 ka\x0d\x0a"),
	S(OUT, "mg a t f v O2 k\x0d\x0a"),
	S(IN, "VA 2 t-1 f0 O2 ka\x0d\x0ahi\x0d\x0a"),
	S(OUT, "mg a\x0d\x0a"),
	S(IN, "HD\x0d\x0a"),
	S(OUT, "mg none O3\x0d\x0a"),
	S(IN, "EN O3\x0d\x0a"),
	S(OUT, "mg none v q O4\x0d\x0amg a v q k O5\x0d\x0amn\x0d\x0a"),
	S(IN, "VA 2 ka O5\x0d\x0ahi\x0d\x0aMN\x0d\x0a"),
	S(OUT, "ms a 2 C1\x0d\x0ano\x0d\x0a"),
	S(IN, "EX\x0d\x0a"),
	S(OUT, "ms a S2\x0d\x0a"),
	S(IN, "CLIENT_ERROR bad command line format\x0d\x0a"),
	S(OUT, "ma n N0 J5 v\x0d\x0a"),
	S(IN, "VA 1\x0d\x0a"
	      "5\x0d\x0a"),
	S(OUT, "ma n D2 v\x0d\x0a"),
	S(IN, "VA 1\x0d\x0a"
	      "7\x0d\x0a"),
	S(OUT, "mg YQ== b v k\x0d\x0a"),
	S(IN, "VA 2 ka\x0d\x0ahi\x0d\x0a"),
	S(OUT, "ms b 1 MA\x0d\x0ax\x0d\x0a"),
	S(IN, "NS\x0d\x0a"),
	S(OUT, "md none\x0d\x0a"),
	S(IN, "NF\x0d\x0a"),
	S(OUT, "md a q\x0d\x0amd none q\x0d\x0amn\x0d\x0a"),
	S(IN, "NF\x0d\x0aMN\x0d\x0a"),
	S(OUT, "ms a abc\x0d\x0a"),
	S(IN, "CLIENT_ERROR bad command line format\x0d\x0a"),
	S(OUT, "mg\x0d\x0a"),
	S(IN, "ERROR\x0d\x0a"),
	S(OUT, "me none\x0d\x0a"),
	S(IN, "EN\x0d\x0a"),
};

/* A connection that is a log from here on. */
static const struct step watch[] = {
	S(OUT, "get a\x0d\x0a"),
	S(IN, "END\x0d\x0a"),
	S(OUT, "watch fetchers\x0d\x0a"),
	S(IN, "OK\x0d\x0a"),
};

static void whole(void)
{
	TEST("commands are calls with their names; who wants no answer does not wait");
	GIVES(pymemcache, "version read beat ok; set write ok; get read ok; get read ok; add write "
	                  "ok; set write ok; incr write ok; delete write ok; touch write ok; gets "
	                  "read ok; set write ok; set write ok; get read ok; stats read beat ok");
	GIVES(pymemcache2,
	      "set write unknown; get read ok; flush_all write ok; quit read beat unknown");
	GIVES(python_memcache, "set write ok; get read ok; set write ok; set write ok; get read "
	                       "ok; delete write ok");
	GIVES(meta, "ms write ok; mg read ok; mg read ok; ms write unknown; mg read unknown; mg "
	            "read unknown; mn read ok; md write unknown; mn read ok; ma write ok; me read "
	            "ok; mn read beat ok; - ? error ERROR; get read error ERROR; incr write ok");
	TEST("values are not read, whatever is in them; errors are those of their commands");
	GIVES(values,
	      "set write ok; get read ok; gets read ok; cas write ok; cas write ok; gat write ok; "
	      "gats write ok; append write ok; prepend write ok; replace write ok; set write ok; "
	      "get read ok; incr write error CLIENT_ERROR; set write ok; decr write ok; touch "
	      "write ok; delete write unknown; incr write unknown; get read ok; set write error "
	      "CLIENT_ERROR; gets read error ERROR; verbosity read beat ok; cache_memlimit read "
	      "ok; lru read ok; slabs read ok; lru_crawler read ok; stats read beat ok; stats read "
	      "beat ok; flush_all write unknown; mn read beat ok");
	GIVES(metas,
	      "ms write ok; mg read ok; mg read ok; mg read ok; mg read unknown; mg read unknown; "
	      "mn read ok; ms write ok; ms write error CLIENT_ERROR; ma write ok; ma write ok; mg "
	      "read ok; ms write ok; md write ok; md write unknown; md write unknown; mn read ok; "
	      "ms write error CLIENT_ERROR; mg read error ERROR; me read ok");
	TEST("behind watch there are no calls");
	GIVES(watch, "get read ok; watch read blocks ok");
}

static void holes(void)
{
	TEST("with a hole anywhere nothing is claimed that is not so");
	HONEST(pymemcache);
	HONEST(pymemcache2);
	HONEST(python_memcache);
	HONEST(meta);
	HONEST(values);
	HONEST(metas);
	HONEST(watch);
}
static void joined(void)
{
	TEST("who joins at any byte tells of true calls only, each once");
	JOINED(pymemcache);
	JOINED(pymemcache2);
	JOINED(python_memcache);
	JOINED(meta);
	JOINED(values);
	JOINED(metas);
	JOINED(watch);
}

static void masked(void)
{
	static const char *const planted[] = { "none", "exp=", "cas=", NULL };

	TEST("masked it gives the same calls, in any pieces, and no word of the target's is left");
	MASKS(&masker_memcached, &proto_memcached, pymemcache, planted);
	MASKS(&masker_memcached, &proto_memcached, pymemcache2, planted);
	MASKS(&masker_memcached, &proto_memcached, python_memcache, planted);
	MASKS(&masker_memcached, &proto_memcached, meta, planted);
	TEST("the same with a hole anywhere, and joined late");
	MASKS_HOLES(&masker_memcached, &proto_memcached, pymemcache, 16, planted);
	MASKS_HOLES(&masker_memcached, &proto_memcached, pymemcache2, COUNT(pymemcache2), planted);
	MASKS_HOLES(&masker_memcached, &proto_memcached, python_memcache, COUNT(python_memcache),
	            planted);
	MASKS_HOLES(&masker_memcached, &proto_memcached, meta, COUNT(meta), planted);
}

int main(void)
{
	whole();
	holes();
	joined();
	masked();
	return DONE();
}
