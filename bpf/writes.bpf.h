/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is written to anything but sockets: which files are reported, which one it is, where it lies. A path is walked once, at the
 * first write, while the file is certainly there: who logs may open, write a line and close at once.
 */
#ifndef WHYSTUCK_WRITES_BPF_H
#define WHYSTUCK_WRITES_BPF_H
#include "state.bpf.h"

#define S_IFREG 0100000
#define S_IFIFO 0010000
#define S_IFCHR 0020000

/* Set by the loader before the programs are loaded. */
const volatile int report_files = 0;  /* regular files, through any descriptor */
const volatile int report_output = 0; /* anything through descriptors 1 and 2 */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WRITTEN_MAX);
	__type(key, struct file_key);
	__type(value, struct file_state);
} files SEC(".maps");

/* Filled by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WRITTEN_MAX);
	__type(key, struct file_key);
	__type(value, struct file_limit);
} file_limits SEC(".maps");

static __always_inline bool file_reported(__u32 type, int fd)
{
	return (type == S_IFREG && report_files) || (report_output && (fd == 1 || fd == 2));
}

static __always_inline void file_key(struct file *f, __u64 *ino, __u64 *dev)
{
	*ino = BPF_CORE_READ(f, f_inode, i_ino);
	*dev = BPF_CORE_READ(f, f_inode, i_sb, s_dev);
}

static __always_inline __u64 file_id(struct file *f)
{
	__u64 generation = BPF_CORE_READ(f, f_inode, i_generation);

	return (generation << 32 | BPF_CORE_READ(f, f_path.dentry, d_name.hash)) & ~FILE_ANNOUNCED;
}

/* Bytes of a write to it that are wanted. */
static __always_inline __u32 file_want(struct file *f)
{
	struct file_limit *l;
	struct file_key key;

	file_key(f, &key.ino, &key.dev);
	l = bpf_map_lookup_elem(&file_limits, &key);
	return l && l->id == file_id(f) ? l->n : FILE_CAPTURE_DEFAULT;
}

/* The way from a file outwards. */
struct names_walk {
	struct file_names *names; /* in a slot, the text behind it */
	struct dentry *at;
	struct dentry *root; /* of the process, NULL: it is in another mount */
	__u32 used;          /* bytes of text */
};

static long name_take(__u32 i, struct names_walk *w)
{
	struct dentry *at = w->at, *parent = BPF_CORE_READ(at, d_parent);
	char *to = (char *)(w->names + 1);
	__u32 used = w->used;
	long n;

	if (at == w->root) {
		w->names->rooted = 1;
		return 1;
	}
	if (!parent || parent == at)
		return 1;
	if (i >= FILE_NAMES_MAX || used > FILE_NAMES_BYTES - FILE_NAME_MAX) {
		w->names->cut = 1;
		return 1;
	}
	n = bpf_probe_read_kernel_str(to + used, FILE_NAME_MAX, BPF_CORE_READ(at, d_name.name));
	if (n <= 0 || n > FILE_NAME_MAX) {
		w->names->cut = 1;
		return 1;
	}
	w->names->n++;
	w->used = used + (__u32)n;
	w->at = parent;
	return 0;
}

static __always_inline __s32 mount_id(struct vfsmount *m)
{
	struct mount *mount = (void *)((char *)m - bpf_core_field_offset(struct mount, mnt));

	return BPF_CORE_READ(mount, mnt_id);
}

/* Sends EV_FILE. */
static __always_inline void file_announce(struct file *f, int fd, __u64 id, __u64 since_ns)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct vfsmount *mount = BPF_CORE_READ(f, f_path.mnt), *root_mount;
	struct dentry *root = BPF_CORE_READ(task, fs, root.dentry);
	struct slot *s = slot_take();
	struct names_walk w = {};
	struct ev_file *e;

	if (!s)
		return;
	root_mount = BPF_CORE_READ(task, fs, root.mnt);
	e = (struct ev_file *)s->room;
	w.names = (struct file_names *)(s->room + sizeof(*e) / 8);
	__builtin_memset(e, 0, sizeof(*e));
	__builtin_memset(w.names, 0, sizeof(*w.names));
	header(&e->h, EV_FILE, 0, 0);
	file_key(f, &e->ino, &e->dev);
	e->fd = fd;
	e->mode = BPF_CORE_READ(f, f_inode, i_mode) & S_IFMT;
	w.names->id = id;
	w.names->since_ns = since_ns;
	w.names->mount = mount_id(mount);
	w.names->root_mount = BPF_CORE_READ(root_mount, mnt_root) == root ? mount_id(root_mount)
	                                                                  : -1;
	w.at = BPF_CORE_READ(f, f_path.dentry);
	w.root = mount == root_mount ? root : 0;
	bpf_loop(FILE_NAMES_MAX + 1, name_take, &w, 0);
	if (w.used > FILE_NAMES_BYTES)
		w.used = FILE_NAMES_BYTES;
	e->h.size = sizeof(*e) + sizeof(*w.names) + w.used;
	emit(e, sizeof(*e) + sizeof(*w.names) + w.used);
	slot_put(s);
}

/*
 * What is remembered of a file, announced when it is new: threads that come together may each announce it, so that no write comes
 * before (the loader drops what came twice), and one entry stays. NULL: out of memory.
 */
static __always_inline struct file_state *file_state(struct file *f, int fd)
{
	struct file_state *st, fresh = {};
	__u64 id = file_id(f), old;
	struct file_key key;

	file_key(f, &key.ino, &key.dev);
	st = bpf_map_lookup_elem(&files, &key);
	if (!st) {
		fresh.id = id;
		fresh.since_ns = bpf_ktime_get_ns();
		bpf_map_update_elem(&files, &key, &fresh, BPF_NOEXIST);
		st = bpf_map_lookup_elem(&files, &key);
		if (!st)
			return 0;
	}
	old = st->id;
	if (old == (id | FILE_ANNOUNCED))
		return st;
	if (old != id) /* another file has the number now, or the same another name */
		__sync_val_compare_and_swap(&st->id, old, id);
	file_announce(f, fd, id, st->since_ns);
	__sync_val_compare_and_swap(&st->id, id, id | FILE_ANNOUNCED);
	return st;
}

#endif
