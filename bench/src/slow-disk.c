/*
 * A file system that hands everything on to another folder, and lets each flush to the disk take longer: before it
 * flushes a file (fsync, fdatasync), it sleeps. SlowDisk.ts compiles and mounts it.
 * Usage: slow-disk FOLDER MICROSECONDS MOUNTPOINT [options of FUSE]
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static const char *folder;
static struct timespec delay;

/* The path below the other folder. Each operation has one path, or two. */
#define HERE(path, buffer) char buffer[PATH_MAX]; \
  if (snprintf(buffer, sizeof buffer, "%s%s", folder, path) >= (int)sizeof buffer) return -ENAMETOOLONG

static int answer(int result) { return result == -1 ? -errno : 0; }

/* What is made belongs to the caller. The file system itself runs as root. */
static int owned(const char *path) {
  struct fuse_context *caller = fuse_get_context();
  return answer(lchown(path, caller->uid, caller->gid));
}

static void *begin(struct fuse_conn_info *connection, struct fuse_config *config) {
  (void)connection;
  /* A store knows its file by device and inode. */
  config->use_ino = 1;
  return NULL;
}

static int getattr_(const char *path, struct stat *found, struct fuse_file_info *file) {
  if (file != NULL) return answer(fstat(file->fh, found));
  HERE(path, real);
  return answer(lstat(real, found));
}

static int readlink_(const char *path, char *target, size_t size) {
  HERE(path, real);
  ssize_t length = readlink(real, target, size - 1);
  if (length == -1) return -errno;
  target[length] = 0;
  return 0;
}

static int readdir_(const char *path, void *into, fuse_fill_dir_t fill, off_t from, struct fuse_file_info *file,
                    enum fuse_readdir_flags flags) {
  (void)from, (void)file, (void)flags;
  HERE(path, real);
  DIR *directory = opendir(real);
  if (directory == NULL) return -errno;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) fill(into, entry->d_name, NULL, 0, 0);
  closedir(directory);
  return 0;
}

static int mknod_(const char *path, mode_t mode, dev_t device) {
  HERE(path, real);
  return mknod(real, mode, device) == -1 ? -errno : owned(real);
}

static int mkdir_(const char *path, mode_t mode) {
  HERE(path, real);
  return mkdir(real, mode) == -1 ? -errno : owned(real);
}

static int symlink_(const char *target, const char *path) {
  HERE(path, real);
  return symlink(target, real) == -1 ? -errno : owned(real);
}

static int link_(const char *from, const char *to) {
  HERE(from, real);
  HERE(to, other);
  return answer(link(real, other));
}

static int rename_(const char *from, const char *to, unsigned flags) {
  HERE(from, real);
  HERE(to, other);
  return answer(renameat2(AT_FDCWD, real, AT_FDCWD, other, flags));
}

static int unlink_(const char *path) {
  HERE(path, real);
  return answer(unlink(real));
}

static int rmdir_(const char *path) {
  HERE(path, real);
  return answer(rmdir(real));
}

static int chmod_(const char *path, mode_t mode, struct fuse_file_info *file) {
  (void)file;
  HERE(path, real);
  return answer(chmod(real, mode));
}

static int chown_(const char *path, uid_t user, gid_t group, struct fuse_file_info *file) {
  (void)file;
  HERE(path, real);
  return answer(lchown(real, user, group));
}

static int truncate_(const char *path, off_t size, struct fuse_file_info *file) {
  if (file != NULL) return answer(ftruncate(file->fh, size));
  HERE(path, real);
  return answer(truncate(real, size));
}

static int utimens_(const char *path, const struct timespec times[2], struct fuse_file_info *file) {
  (void)file;
  HERE(path, real);
  return answer(utimensat(AT_FDCWD, real, times, AT_SYMLINK_NOFOLLOW));
}

static int statfs_(const char *path, struct statvfs *found) {
  HERE(path, real);
  return answer(statvfs(real, found));
}

static int open_(const char *path, struct fuse_file_info *file) {
  HERE(path, real);
  int opened = open(real, file->flags);
  if (opened == -1) return -errno;
  file->fh = opened;
  /* Nobody writes to the other folder but us, so what the kernel has read stays true. */
  file->keep_cache = 1;
  return 0;
}

static int create_(const char *path, mode_t mode, struct fuse_file_info *file) {
  HERE(path, real);
  int opened = open(real, file->flags, mode);
  if (opened == -1) return -errno;
  file->fh = opened;
  return owned(real);
}

static int read_(const char *path, char *into, size_t size, off_t from, struct fuse_file_info *file) {
  (void)path;
  ssize_t done = pread(file->fh, into, size, from);
  return done == -1 ? -errno : (int)done;
}

static int write_(const char *path, const char *bytes, size_t size, off_t at, struct fuse_file_info *file) {
  (void)path;
  ssize_t done = pwrite(file->fh, bytes, size, at);
  return done == -1 ? -errno : (int)done;
}

static int allocate(const char *path, int mode, off_t from, off_t length, struct fuse_file_info *file) {
  (void)path;
  return answer(fallocate(file->fh, mode, from, length));
}

static int release_(const char *path, struct fuse_file_info *file) {
  (void)path;
  return answer(close(file->fh));
}

static int flush_to_disk(const char *path, int data_only, struct fuse_file_info *file) {
  (void)path;
  nanosleep(&delay, NULL);
  return answer(data_only ? fdatasync(file->fh) : fsync(file->fh));
}

static const struct fuse_operations operations = {
  .init = begin, .getattr = getattr_, .readlink = readlink_, .readdir = readdir_, .mknod = mknod_, .mkdir = mkdir_,
  .symlink = symlink_, .link = link_, .rename = rename_, .unlink = unlink_, .rmdir = rmdir_, .chmod = chmod_,
  .chown = chown_, .truncate = truncate_, .utimens = utimens_, .statfs = statfs_, .open = open_, .create = create_,
  .read = read_, .write = write_, .fallocate = allocate, .release = release_, .fsync = flush_to_disk,
};

int main(int count, char **words) {
  if (count < 4) return fprintf(stderr, "Usage: slow-disk FOLDER MICROSECONDS MOUNTPOINT [options]\n"), 64;
  folder = words[1];
  long micros = atol(words[2]);
  delay.tv_sec = micros / 1000000;
  delay.tv_nsec = micros % 1000000 * 1000;
  umask(0);
  words[2] = words[0];
  return fuse_main(count - 2, words + 2, &operations, NULL);
}
