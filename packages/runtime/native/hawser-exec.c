/*
 * hawser-exec: enters running containers and runs commands there, as `crun exec` does, without an OCI runtime's start-up.
 *
 * Started once by the runtime (oci/exec-helper.ts), from a sealed memfd, with a SEQPACKET socket as descriptor 3. It says
 * "hawser-exec" and the number of the protocol there, and then forks for each message that comes, with the message's
 * descriptors: the command's stdin, stdout and stderr, a control socket, and for a terminal one more socket. The
 * runtime itself never waits for a fork or an exec: under load either may take longer than its event loop may stand.
 *
 * Four processes take part in an exec:
 *
 *   the porter   the one that was started; ends when the runtime does
 *   the waiter   forked by the porter; stays on the host, and tells the runtime the command's end. Outlives the porter.
 *   the usher    forked by the waiter; has the host's rights and uses them: joins the container's cgroups and namespaces, all but
 *                to be in its PID namespace, where nobody is but who is born there; then gives them up, forks, and ends
 *   the command  is born in the container with what it may have there and no more: whoever in the container may trace it
 *                (CAP_SYS_PTRACE), from its first moment on, gets no right, no descriptor and no directory by it
 *
 * On the control socket comes the request: four bytes of length, then fields "name=value", each ended by a NUL, so that no
 * value can pose as another field. Back go, as it happens:
 *
 *   'B'                     the request is read: from here on the command may have begun
 *   'T'                     the terminal's master is on the other socket (SCM_RIGHTS)
 *   'F', words, NUL         there is no command, and why, in crun's words
 *   'X', one byte           its exit code: its own, or 128 + n after signal n
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "seccomp-answer.h"

#define PROTOCOL "6"

/* Newer than the headers this may be compiled with. */
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

enum {
  PORTER = 3,   /* the porter's socket to the runtime */
  CONTROL = 3,  /* in a waiter: the exec's own; in an usher and a command: a pipe to the waiter, for what it passes on */
  KEPT = 4,     /* in a command: what it joins its cgroup by, at its limit of processes */
  TERMINAL = 4, /* where a terminal's master goes */
  DESCRIPTORS = 5, /* of one exec at most */
  MAX_REQUEST = 8 * 1024 * 1024, /* more than the kernel takes for arguments and environment together */
  MAX_FILTER = BPF_MAXINSNS * sizeof(struct sock_filter),
  MAX_CGROUPS = 64,
  MAX_WORDS = 4096, /* of a failure */
  FAILED = 255,
  NO_ROOM = 254, /* an usher's, in a container at its limit of processes */
};

struct limit {
  int resource;
  struct rlimit value;
};

struct request {
  const char *id;           /* the container's, for messages */
  pid_t init;               /* its first process, and when that was started, in clock ticks */
  unsigned long long start;
  char *cgroups[MAX_CGROUPS]; /* files of v1 cgroups, `tasks`, that the usher joins by; the command is born there */
  size_t cgroups_count;
  const char *pids;         /* and the one that limits the number of processes */
  const char *group;        /* directory, to be made, of a cgroup2 group that the command is born into */
  const char *freezer;      /* the file that tells whether the container is paused */
  const char *seccomp;      /* compiled filter */
  bool cgroup_namespace;    /* the container has one of its own */
  bool user_namespace;
  uid_t pipe_uid;           /* whom its pipes are given to, in the host's ids */
  gid_t pipe_gid;
  bool terminal;
  struct winsize size;
  const char *cwd;
  uid_t uid;
  gid_t gid;
  gid_t *groups;
  size_t groups_count;
  uint64_t bounding, permitted, effective, inheritable, ambient;
  bool no_new_privileges;
  mode_t umask;
  const char *oom_score_adj;
  const char *apparmor;     /* the profile's name */
  struct limit *limits;
  size_t limits_count;
  char **args;
  size_t args_count;
  char **env;
  size_t env_count;
};

/* ---- failures ----------------------------------------------------------------------------------------------------- */

/* What the user of a command without a terminal is told on its stderr; on a terminal the runtime tells it. */
static bool tell_stderr = false;

static void write_all(int fd, const void *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes = (const char *)bytes + written;
    count -= (size_t)written;
  }
}

/* Says why and ends this process. `error` is an errno, or 0. */
static void __attribute__((noreturn, format(printf, 2, 3))) fail(int error, const char *format, ...) {
  char words[MAX_WORDS] = "F";
  va_list arguments;
  va_start(arguments, format);
  int count = vsnprintf(words + 1, sizeof words - 2, format, arguments) + 1;
  va_end(arguments);
  if (count > MAX_WORDS - 2) count = MAX_WORDS - 2;
  if (error != 0) count += snprintf(words + count, (size_t)(MAX_WORDS - 1 - count), ": %s", strerror(error));
  if (count > MAX_WORDS - 2) count = MAX_WORDS - 2;
  words[count] = '\0';
  signal(SIGPIPE, SIG_IGN);
  write_all(CONTROL, words, (size_t)count + 1);
  if (tell_stderr) {
    words[count] = '\n';
    write_all(STDERR_FILENO, words + 1, (size_t)count);
  }
  _exit(FAILED);
}

static void *need(void *memory) {
  if (memory == NULL) fail(ENOMEM, "memory for the request");
  return memory;
}

/* ---- the request -------------------------------------------------------------------------------------------------- */

static void read_all(int fd, void *bytes, size_t count) {
  while (count > 0) {
    ssize_t got = read(fd, bytes, count);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) _exit(FAILED); /* the runtime has gone, or has nothing to ask any more */
    bytes = (char *)bytes + got;
    count -= (size_t)got;
  }
}

static unsigned long long number(const char *text, int base) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, base);
  if (errno != 0 || end == text || *end != '\0') fail(EINVAL, "number `%s` of the request", text);
  return value;
}

/* The value of field `name`, or NULL when `field` is another. */
static char *value_of(char *field, const char *name) {
  size_t length = strlen(name);
  return strncmp(field, name, length) == 0 && field[length] == '=' ? field + length + 1 : NULL;
}

static void read_field(struct request *request, char *field) {
  char *value;
  /* In the order of how often they come. */
  if ((value = value_of(field, "env"))) request->env[request->env_count++] = value;
  else if ((value = value_of(field, "arg"))) request->args[request->args_count++] = value;
  else if ((value = value_of(field, "cgroup"))) {
    if (request->cgroups_count == MAX_CGROUPS) fail(E2BIG, "cgroups of the request");
    request->cgroups[request->cgroups_count++] = value;
  } else if ((value = value_of(field, "pids"))) request->pids = value;
  else if ((value = value_of(field, "gids"))) request->groups[request->groups_count++] = (gid_t)number(value, 10);
  else if ((value = value_of(field, "id"))) request->id = value;
  else if ((value = value_of(field, "init"))) request->init = (pid_t)number(value, 10);
  else if ((value = value_of(field, "start"))) request->start = number(value, 10);
  else if ((value = value_of(field, "group"))) request->group = value;
  else if ((value = value_of(field, "freezer"))) request->freezer = value;
  else if ((value = value_of(field, "seccomp"))) request->seccomp = value;
  else if ((value = value_of(field, "cgroupns"))) request->cgroup_namespace = true;
  else if ((value = value_of(field, "userns"))) request->user_namespace = true;
  else if ((value = value_of(field, "pipeuid"))) request->pipe_uid = (uid_t)number(value, 10);
  else if ((value = value_of(field, "pipegid"))) request->pipe_gid = (gid_t)number(value, 10);
  else if ((value = value_of(field, "tty"))) {
    request->terminal = true;
    if (sscanf(value, "%hux%hu", &request->size.ws_col, &request->size.ws_row) != 2) fail(EINVAL, "terminal size");
  } else if ((value = value_of(field, "cwd"))) request->cwd = value;
  else if ((value = value_of(field, "uid"))) request->uid = (uid_t)number(value, 10);
  else if ((value = value_of(field, "gid"))) request->gid = (gid_t)number(value, 10);
  else if ((value = value_of(field, "bounding"))) request->bounding = number(value, 16);
  else if ((value = value_of(field, "permitted"))) request->permitted = number(value, 16);
  else if ((value = value_of(field, "effective"))) request->effective = number(value, 16);
  else if ((value = value_of(field, "inheritable"))) request->inheritable = number(value, 16);
  else if ((value = value_of(field, "ambient"))) request->ambient = number(value, 16);
  else if ((value = value_of(field, "nonewprivileges"))) request->no_new_privileges = true;
  else if ((value = value_of(field, "umask"))) request->umask = (mode_t)number(value, 8);
  else if ((value = value_of(field, "oom"))) request->oom_score_adj = value;
  else if ((value = value_of(field, "apparmor"))) request->apparmor = value;
  else if ((value = value_of(field, "rlimit"))) {
    struct limit *limit = &request->limits[request->limits_count++];
    unsigned long long soft, hard;
    if (sscanf(value, "%d:%llu:%llu", &limit->resource, &soft, &hard) != 3) fail(EINVAL, "limit `%s`", value);
    limit->value = (struct rlimit){.rlim_cur = soft, .rlim_max = hard};
  } else fail(EINVAL, "field `%.20s` of the request", field); /* never guess what the runtime meant */
}

static struct request read_request(void) {
  uint32_t length;
  read_all(CONTROL, &length, sizeof length);
  if (length == 0 || length > MAX_REQUEST) fail(E2BIG, "request of %u bytes", length);
  char *text = need(malloc(length));
  read_all(CONTROL, text, length);
  if (text[length - 1] != '\0') fail(EINVAL, "request");
  size_t fields = 0;
  for (uint32_t at = 0; at < length; at++) fields += text[at] == '\0';
  struct request request = {
      .cwd = "/",
      .id = "",
      .umask = 0022,
      .args = need(calloc(fields + 1, sizeof(char *))),
      .env = need(calloc(fields + 1, sizeof(char *))),
      .groups = need(calloc(fields + 1, sizeof(gid_t))),
      .limits = need(calloc(fields + 1, sizeof(struct limit))),
  };
  for (char *field = text; field < text + length; field += strlen(field) + 1) read_field(&request, field);
  if (request.init <= 0 || request.start == 0 || request.args_count == 0) fail(EINVAL, "request");
  return request;
}

/* ---- the container ------------------------------------------------------------------------------------------------ */

/*
 * A descriptor of the container's first process, and of none that has got its pid since: the start time is read when
 * the descriptor holds the process, so if it is the recorded one's then so is the descriptor.
 */
static int pin_init(const struct request *request) {
  int pidfd = (int)syscall(SYS_pidfd_open, request->init, 0);
  if (pidfd < 0 && errno != ESRCH) fail(errno, "pidfd_open");
  char path[64], stat[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", request->init);
  int file = pidfd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  ssize_t count = file < 0 ? -1 : read(file, stat, sizeof stat - 1);
  if (file >= 0) close(file);
  stat[count < 0 ? 0 : count] = '\0';
  char *after_name = strrchr(stat, ')'); /* the name may hold anything */
  char state = 'X';
  unsigned long long start = 0;
  if (after_name != NULL) {
    /* Fields 3 and 22 of proc(5). */
    sscanf(after_name + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &state, &start);
  }
  if (start != request->start || state == 'Z' || state == 'X') fail(0, "the container `%s` is not running", request->id);
  return pidfd;
}

/* v1's freezer.state says FROZEN, v2's cgroup.freeze 1. A command would hang in there until the container goes on. */
static void refuse_paused(const struct request *request) {
  if (request->freezer == NULL) return;
  char state[16] = "";
  int file = open(request->freezer, O_RDONLY | O_CLOEXEC);
  if (file < 0) return; /* no such controller */
  if (read(file, state, sizeof state - 1) < 0) state[0] = '\0';
  close(file);
  if (strncmp(state, "FROZEN", 6) == 0 || state[0] == '1') fail(0, "the container `%s` is paused", request->id);
}

static struct sock_fprog read_filter(const struct request *request) {
  struct sock_fprog program = {0};
  if (request->seccomp == NULL) return program;
  int file = open(request->seccomp, O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(errno, "open `%s`", request->seccomp);
  char *bytes = need(malloc(MAX_FILTER + 1));
  size_t length = 0;
  ssize_t got;
  while ((got = read(file, bytes + length, MAX_FILTER + 1 - length)) > 0) length += (size_t)got;
  close(file);
  if (got < 0) fail(errno, "read `%s`", request->seccomp);
  /* A filter that is cut short would be another filter. */
  if (length == 0 || length > MAX_FILTER || length % sizeof(struct sock_filter) != 0) fail(EINVAL, "seccomp filter");
  program.len = (unsigned short)(length / sizeof(struct sock_filter));
  program.filter = (struct sock_filter *)bytes;
  return program;
}

/* The directory of the exec's own group, and the one above it when this is the container's first exec. */
static void make_group(const char *path) {
  if (mkdir(path, 0755) == 0 || errno == EEXIST) return;
  char above[PATH_MAX];
  const char *name = strrchr(path, '/');
  if (errno == ENOENT && name != NULL && name - path < PATH_MAX) {
    snprintf(above, sizeof above, "%.*s", (int)(name - path), path);
    if ((mkdir(above, 0755) == 0 || errno == EEXIST) && (mkdir(path, 0755) == 0 || errno == EEXIST)) return;
  }
  fail(errno, "make `%s`", path);
}

/* ---- the usher, still on the host --------------------------------------------------------------------------------- */

/*
 * Joins a cgroup by a file of it: a thread that moves itself, and it alone (`tasks`, not `cgroup.procs`, and 0 for its
 * number), spares the kernel the lock on all forks and exits, for which it would wait 10 ms and more for the other CPUs
 * (cgroup_procs_write_start() since Linux 6.0). An usher has one thread, so that is all of it. False where there is no such
 * file: a hierarchy may have been mounted when the container was not made for it.
 */
static bool join_cgroup(const char *path) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) return false;
  if (file < 0) fail(errno, "open `%s`", path);
  if (write(file, "0", 1) < 0) fail(errno, "could not join cgroup");
  close(file);
  return true;
}

/*
 * The file of the cgroup that limits the number of processes: v1's pids, or on v2, where there is one group for all, that.
 * NULL where there is none.
 */
static const char *limiting_file(const struct request *request) {
  static char file[PATH_MAX];
  if (request->pids != NULL) return request->pids;
  if (request->group == NULL || request->cgroups_count > 0) return NULL;
  snprintf(file, sizeof file, "%s/cgroup.procs", request->group);
  return file;
}

/*
 * `late` is set for a container at its limit of processes. An usher that was within it could not fork, so the command has to
 * join that cgroup itself when it is there, as it has to with the OCI runtime. Returns what it will do so by, or -1.
 */
static int join_cgroups(const struct request *request, bool in_group, bool late) {
  const char *limiting = limiting_file(request);
  bool joined = false;
  for (size_t n = 0; n < request->cgroups_count; n++) joined = join_cgroup(request->cgroups[n]) || joined;
  if (in_group) joined = true;
  else if (request->group != NULL && (!late || request->pids != NULL)) {
    char file[PATH_MAX];
    snprintf(file, sizeof file, "%s/cgroup.procs", request->group);
    if (!join_cgroup(file)) fail(ENOENT, "open `%s`", file); /* what stops an exec looks for it there */
    joined = true;
  }
  int descriptor = -1;
  if (late && limiting != NULL) {
    descriptor = open(limiting, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) fail(errno, "open `%s`", limiting);
    joined = true;
  } else if (request->pids != NULL) joined = join_cgroup(request->pids) || joined;
  if (!joined) fail(0, "could not join cgroup");
  return descriptor;
}

/* From the command's execve on, as a fork hands it on. The former place is of kernels before 5.8. */
static void set_profile(const char *profile) {
  int file = open("/proc/self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) file = open("/proc/self/attr/exec", O_WRONLY | O_CLOEXEC);
  if (file < 0 || dprintf(file, "exec %s", profile) < 0) fail(errno, "set the AppArmor profile `%s`", profile);
  close(file);
}

/* What takes the host's rights, and its paths. */
static void settle(const struct request *request) {
  if (request->oom_score_adj != NULL) {
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, request->oom_score_adj, strlen(request->oom_score_adj)) < 0)
      fail(errno, "write to /proc/self/oom_score_adj");
    close(file);
  }
  if (request->apparmor != NULL) set_profile(request->apparmor);
  /* So that the command can open its own pipes again by name. */
  for (int fd = 0; fd <= 2; fd++) {
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode)) continue; /* never /dev/null, which is everybody's */
    if (fchown(fd, request->pipe_uid, request->pipe_gid) < 0) fail(errno, "fchown std stream %d", fd);
  }
  /* Raising one takes a right that nobody in a user namespace has. */
  for (size_t n = 0; n < request->limits_count; n++) {
    const struct limit *limit = &request->limits[n];
    if (setrlimit((__rlimit_resource_t)limit->resource, &limit->value) < 0) fail(errno, "setrlimit `%d`", limit->resource);
  }
}

/*
 * The host's session keyring would be the command's as well (the OCI runtime leaves it so), keys and all. A new one, empty.
 */
static void leave_keyring(void) {
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EDQUOT)
    fail(errno, "create keyring");
}

/* ---- the usher, in the container's namespaces -------------------------------------------------------------------------------- */

/*
 * A terminal of the container's own devpts, with its size, as stdio; its master goes to the runtime. The master has to be a real one, whatever the container has made of /dev/ptmx, and the other end is asked
 * of the master, not of a path.
 */
static void open_terminal(const struct request *request) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master < 0) fail(errno, "open /dev/ptmx");
  struct stat status;
  if (fstat(master, &status) < 0 || !S_ISCHR(status.st_mode) || status.st_rdev != makedev(5, 2))
    fail(ENOTTY, "open /dev/ptmx");
  if (fcntl(master, F_SETFL, O_RDWR) < 0) fail(errno, "open /dev/ptmx");
  int locked = 0;
  if (ioctl(master, TIOCSPTLCK, &locked) < 0) fail(errno, "unlockpt");
  int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  if (terminal < 0) fail(errno, "open the terminal");
  if (request->uid != 0 && fchown(terminal, request->uid, (gid_t)-1) < 0) fail(errno, "chown the terminal");
  if ((request->size.ws_col != 0 || request->size.ws_row != 0) && ioctl(master, TIOCSWINSZ, &request->size) < 0)
    fail(errno, "ioctl TIOCSWINSZ");
  for (int fd = 0; fd <= 2; fd++)
    if (dup2(terminal, fd) < 0) fail(errno, "dup terminal");
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), &master, sizeof master);
  struct iovec data = {.iov_base = "T", .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};
  if (sendmsg(TERMINAL, &message, MSG_NOSIGNAL) < 0) fail(errno, "send the terminal");
  close(master);
  close(terminal);
}

/* An executable file, or -1 with errno. */
static int check_executable(const char *path) {
  struct stat status;
  if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 || stat(path, &status) < 0) return -1;
  if (S_ISREG(status.st_mode)) return 0;
  errno = EPERM;
  return -1;
}

static const char *path_variable(char **env) {
  for (; *env != NULL; env++)
    if (strncmp(*env, "PATH=", 5) == 0) return *env + 5;
  return NULL;
}

/* Writes the path of `name` into `found`. False with errno: ENOENT, or what a candidate failed with. */
static bool find_executable(const struct request *request, char found[PATH_MAX]) {
  const char *name = request->args[0];
  if (name[0] == '.' || strchr(name, '/') != NULL) {
    int length = name[0] == '/' ? snprintf(found, PATH_MAX, "%s", name)
                                : snprintf(found, PATH_MAX, "%s/%s", request->cwd, name);
    if (length >= PATH_MAX) {
      errno = ENAMETOOLONG;
      return false;
    }
    return check_executable(found) == 0;
  }
  int reason = ENOENT;
  const char *path = path_variable(request->env);
  while (path != NULL) {
    const char *end = strchrnul(path, ':');
    size_t length = (size_t)(end - path);
    const char *directory = length == 0 ? "." : path;
    if (length == 0) length = 1;
    if (length < PATH_MAX && snprintf(found, PATH_MAX, "%.*s/%s", (int)length, directory, name) < PATH_MAX) {
      if (check_executable(found) == 0) return true;
      if (errno != ENOENT) reason = errno;
    } else {
      reason = ENAMETOOLONG;
    }
    path = *end == ':' ? end + 1 : NULL;
  }
  errno = reason;
  return false;
}

/*
 * The working directory has to be in the container: with a descriptor of the host's, leaked or stolen, it could be one
 * of the host's (CVE-2024-21626). The kernel calls such a one unreachable.
 */
static bool enter_directory(const char *directory) {
  char reached[PATH_MAX];
  if (chdir(directory) < 0) return false;
  if (syscall(SYS_getcwd, reached, sizeof reached) < 0) fail(errno, "getcwd");
  if (reached[0] != '/') fail(0, "chdir `%s`: outside of the container", directory);
  return true;
}

static void apply_filter(const struct sock_fprog *program) {
  if (program->len == 0) return;
  unsigned flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW; /* what crun takes when a profile names no flags */
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program) == 0) return;
  if (errno == EINVAL && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) == 0) return;
  fail(errno, "seccomp (SECCOMP_SET_MODE_FILTER)");
}

static void limit_bounding_set(uint64_t kept) {
  for (int capability = 0; capability < 64; capability++) {
    if ((kept >> capability) & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return; /* past the last one there is */
    fail(errno, "prctl drop bounding");
  }
}

/* `more` are permitted and effective besides. */
static void set_capabilities(const struct request *request, uint64_t more) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2];
  for (int half = 0; half < 2; half++) {
    sets[half].effective = (uint32_t)((request->effective | more) >> (32 * half));
    sets[half].permitted = (uint32_t)((request->permitted | more) >> (32 * half));
    sets[half].inheritable = (uint32_t)(request->inheritable >> (32 * half));
  }
  if (syscall(SYS_capset, &header, sets) < 0) fail(errno, "capset");
}

static void become_user(const struct request *request, uint64_t more) {
  if (setgroups(request->groups_count, request->groups) < 0) fail(errno, "setgroups");
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) fail(errno, "error while setting PR_SET_KEEPCAPS");
  if (setresgid(request->gid, request->gid, request->gid) < 0) fail(errno, "cannot setresgid to %u", request->gid);
  if (setresuid(request->uid, request->uid, request->uid) < 0) fail(errno, "cannot setresuid to %u", request->uid);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) fail(errno, "prctl (PR_SET_DUMPABLE)"); /* a change of user sets the host's default */
  set_capabilities(request, more);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) fail(errno, "prctl reset ambient");
  for (int capability = 0; capability < 64; capability++) {
    if (((request->ambient >> capability) & 1) == 0) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) fail(errno, "prctl ambient raise");
  }
}

/*
 * Last of the namespaces, when nothing that takes rights of the host's is left to do; its root from there on, which is nobody
 * on the host. Where it has none, so be it: become_user() says who may be become.
 */
static void enter_user_namespace(int pidfd) {
  if (setns(pidfd, CLONE_NEWUSER) < 0) fail(errno, "setns `user`");
  if (setgroups(0, NULL) < 0) fail(errno, "setgroups");
  if ((setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) && errno != EINVAL) fail(errno, "cannot setresuid to 0");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) fail(errno, "prctl (PR_SET_DUMPABLE)"); /* whatever the host's default is */
}

static void enter_namespaces(const struct request *request, int pidfd) {
  int types = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
  if (request->cgroup_namespace) types |= CLONE_NEWCGROUP;
  if (setns(pidfd, types) < 0) {
    if (errno == ESRCH) fail(0, "the container `%s` is not running", request->id);
    fail(errno, "setns(pid=%d, CLONE_*)", request->init);
  }
  if (request->user_namespace) enter_user_namespace(pidfd);
}

static const unsigned long birth = CLONE_PARENT | SIGCHLD;

/*
 * May an usher be under the filter already? It has to fork yet, and the command to begin its session. One that allows no fork is
 * the command's to load, and without no_new_privs that takes CAP_SYS_ADMIN until it is loaded.
 */
static bool may_be_loaded_early(const struct request *request, const struct sock_fprog *filter) {
  const int plain[] = {SYS_setsid, SYS_write, SYS_close, SYS_exit_group, SYS_execve};
  for (size_t n = 0; n < sizeof plain / sizeof plain[0]; n++)
    if (!seccomp_allows(filter, plain[n], 0, 0)) return false;
  if (request->terminal && !seccomp_allows(filter, SYS_ioctl, 0, TIOCSCTTY)) return false;
  return seccomp_allows(filter, SYS_clone, birth, 0);
}

/* What of its place and program the usher has found, with the rights of root in the container. */
struct found {
  char executable[PATH_MAX];
  bool entered; /* the working directory */
  int error;    /* of the executable, or 0 */
};

/* ---- the command -------------------------------------------------------------------------------------------------- */

static void __attribute__((noreturn))
run_command(const struct request *request, struct found *found, const struct sock_fprog *filter, int limiting) {
  if (limiting >= 0) {
    if (write(limiting, "0", 1) < 0) fail(errno, "could not join cgroup");
    close(limiting);
  }
  /* A session, and with it a process group, of its own: `kill 0` in the container is no business of the waiter's. */
  if (setsid() < 0) fail(errno, "setsid");
  if (request->terminal) {
    if (ioctl(0, TIOCSCTTY, 0) < 0) fail(errno, "ioctl TIOCSCTTY");
    write_all(CONTROL, "T", 1);
  }
  if (filter->len > 0 && !request->no_new_privileges) {
    apply_filter(filter);
    set_capabilities(request, 0);
  }
  /* What root could not reach the user may, on a network mount; and /proc/self is in the container only from here on. */
  if (found->error != 0 && !find_executable(request, found->executable)) {
    if (found->error == ENOENT || errno == ENOENT)
      fail(ENOENT, "executable file `%s` not found in $PATH", request->args[0]);
    fail(errno, "open executable");
  }
  if (!found->entered && !enter_directory(request->cwd)) fail(errno, "chdir `%s`", request->cwd);
  if (filter->len > 0 && request->no_new_privileges) apply_filter(filter);
  execve(found->executable, request->args, request->env);
  fail(errno, "exec");
}

/*
 * All that takes rights which the container has not, and then nothing is left of them: no capability, no descriptor but the
 * streams and the pipe to the waiter. Only then is the command born, in the container's PID namespace. It is the waiter's child.
 */
static void __attribute__((noreturn))
run_usher(const struct request *request, struct sock_fprog *filter, int pidfd, bool in_group, bool late) {
  struct found found = {0};
  int limiting = join_cgroups(request, in_group, late);
  settle(request);
  enter_namespaces(request, pidfd);
  if (request->terminal) open_terminal(request);
  tell_stderr = !request->terminal;
  if (limiting >= 0 && (limiting = dup3(limiting, KEPT, O_CLOEXEC)) < 0) fail(errno, "dup3");
  if (syscall(SYS_close_range, limiting >= 0 ? KEPT + 1 : KEPT, ~0U, 0) < 0) fail(errno, "close_range");

  /* As root first, which may be what a directory wants; as the user in run_command(), which may be what a network mount wants. */
  found.entered = enter_directory(request->cwd);
  if (!find_executable(request, found.executable)) found.error = errno;

  umask(request->umask);
  limit_bounding_set(request->bounding);
  /* Without no_new_privs a filter takes CAP_SYS_ADMIN, so it comes first then; with it, last, and so needs to allow less. */
  const bool early = filter->len > 0 && may_be_loaded_early(request, filter);
  if (early && !request->no_new_privileges) apply_filter(filter);
  const bool admin = filter->len > 0 && !early && !request->no_new_privileges;
  become_user(request, admin ? UINT64_C(1) << CAP_SYS_ADMIN : 0);
  if (request->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail(errno, "no new privs");
  if (early && request->no_new_privileges) apply_filter(filter);
  if (early) filter->len = 0;

  long pid = syscall(SYS_clone, birth, 0, 0, 0, 0);
  if (pid == 0) run_command(request, &found, filter, limiting);
  if (pid > 0) _exit(0);
  if (errno == EAGAIN && !late && limiting_file(request) != NULL) _exit(NO_ROOM);
  /* The kernel's answer in a PID namespace whose first process is gone. */
  if (errno == ENOMEM && kill(request->init, 0) < 0 && errno == ESRCH)
    fail(0, "the container `%s` is not running", request->id);
  fail(errno, "fork");
}

/* ---- the waiter --------------------------------------------------------------------------------------------------- */

/*
 * fork(2), into the exec's own group if the kernel does that (5.7). Where it refuses, also for want of pids in a v2
 * container, the usher joins the group as it joins v1's.
 */
static pid_t fork_into(const char *group, bool *in_group) {
  *in_group = false;
  if (group != NULL) {
    int directory = open(group, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) fail(errno, "open `%s`", group);
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)directory};
    *in_group = true; /* as the child sees it */
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid >= 0) {
      close(directory);
      return pid;
    }
    *in_group = false;
    close(directory);
  }
  return fork();
}

/* The exit code of a child, or with -1 of any; -1 when there is none. */
static int wait_for(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* To the runtime. False when it has gone. */
static bool tell(const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t sent = send(CONTROL, bytes, count, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes += sent;
    count -= (size_t)sent;
  }
  return true;
}

/* Passes on what an usher or a command says: what comes next, or all of it. */
static void pass_on(int pipe, bool all) {
  char words[MAX_WORDS];
  ssize_t got;
  while ((got = read(pipe, words, sizeof words)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || !tell(words, (size_t)got) || !all) return;
  }
}

/* Runs an usher to its end: its exit code. */
static int usher(const struct request *request, struct sock_fprog *filter, int pidfd, int words, bool late) {
  bool in_group;
  const bool on_v2 = request->pids == NULL && request->cgroups_count == 0;
  pid_t pid = fork_into(late && on_v2 ? NULL : request->group, &in_group);
  if (pid < 0) fail(errno, "fork");
  if (pid > 0) return wait_for(pid);
  if (dup3(words, CONTROL, O_CLOEXEC) < 0) _exit(FAILED);
  close(words);
  run_usher(request, filter, pidfd, in_group, late);
}

/* One exec, in a process of its own. Returns the exit code. */
static int enter(void) {
  struct request request = read_request();
  if (!tell("B", 1)) _exit(FAILED); /* nobody wants it any more */
  int pidfd = pin_init(&request);
  refuse_paused(&request);
  struct sock_fprog filter = read_filter(&request);
  if (request.group != NULL) make_group(request.group);
  leave_keyring();
  int words[2];
  if (pipe2(words, O_CLOEXEC) < 0) fail(errno, "pipe");

  int code = usher(&request, &filter, pidfd, words[1], false);
  if (code == NO_ROOM) code = usher(&request, &filter, pidfd, words[1], true);
  /* Whoever reads or writes the command's streams must see the command's end of them close, not ours. */
  for (int fd = 0; fd <= 2; fd++) close(fd);
  if (request.terminal) close(TERMINAL);
  close(pidfd);
  close(words[1]);
  if (code == 0 && request.terminal) pass_on(words[0], false);
  const int end = wait_for(-1); /* also when the usher was killed behind its back */
  if (end >= 0) code = end;
  pass_on(words[0], true);
  return code;
}

/* ---- the porter --------------------------------------------------------------------------------------------------- */

/* Takes one message's descriptors. Returns how many; 0 for none; -1 when the runtime has gone. */
static int receive(int descriptors[DESCRIPTORS]) {
  char byte;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
  } control;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
      .msg_controllen = CMSG_LEN(DESCRIPTORS * sizeof(int))}; /* with the padding one more would fit than there is room for */
  ssize_t got;
  do got = recvmsg(PORTER, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return 0;
  size_t bytes = header->cmsg_len - CMSG_LEN(0);
  memcpy(descriptors, CMSG_DATA(header), bytes);
  return (int)(bytes / sizeof(int));
}

/* In the fork: what was received becomes 0, 1, 2, ..., which are all lower than what it was received as. */
static void __attribute__((noreturn)) serve(const int descriptors[DESCRIPTORS], int count) {
  signal(SIGCHLD, SIG_DFL);
  for (int fd = 0; fd < count; fd++)
    if (dup2(descriptors[fd], fd) < 0) _exit(FAILED);
  if (syscall(SYS_close_range, count, ~0U, 0) < 0) _exit(FAILED); /* before Linux 5.9: nothing has begun, the OCI runtime can */
  char end[2] = {'X', (char)enter()};
  send(CONTROL, end, sizeof end, MSG_NOSIGNAL);
  _exit(0);
}

int main(void) {
  const char hello[] = "hawser-exec " PROTOCOL;
  /* From here to the command's own execve, nobody without CAP_SYS_PTRACE can look into these processes. */
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return FAILED;
  prctl(PR_SET_NAME, "hawser-exec"); /* for ps: the memfd's number says nothing */
  if (chdir("/") < 0) return FAILED; /* nobody's mount is held */
  setsid();                          /* no terminal's Ctrl-C at the runtime ends an exec */
  syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL); /* what an exec keeps that may not make one of its own */
  signal(SIGCHLD, SIG_IGN);          /* nobody waits for waiters */
  if (send(PORTER, hello, sizeof hello - 1, MSG_NOSIGNAL) < 0) return FAILED;
  int descriptors[DESCRIPTORS], count;
  while ((count = receive(descriptors)) >= 0) {
    pid_t pid = count > CONTROL ? fork() : 0;
    if (pid == 0 && count > CONTROL) serve(descriptors, count);
    if (pid < 0) {
      char words[128];
      int length = snprintf(words, sizeof words, "Ffork: %s", strerror(errno));
      send(descriptors[CONTROL], words, (size_t)length + 1, MSG_NOSIGNAL);
    }
    for (int n = 0; n < count; n++) close(descriptors[n]);
  }
  return 0;
}
