/*
 * hawser-exec: enters running containers and runs commands there, as `crun exec` does, without an OCI runtime's start-up.
 *
 * Started once by the runtime (oci/exec-helper.ts), from a sealed memfd, with a SEQPACKET socket as descriptor 3. It says
 * "hawser-exec" and the number of the protocol there, and then forks for each message that comes, with the message's
 * descriptors: the command's stdin, stdout and stderr, a control socket, a token, and for a terminal one more socket. The
 * runtime itself never waits for a fork or an exec: under load either may take longer than its event loop may stand.
 *
 * Four processes take part in an exec:
 *
 *   the porter   (porter.c) the one that was started; ends when the runtime does
 *   the waiter   (waiter.c) forked by the porter; stays on the host, and tells the runtime the command's end. Outlives the porter.
 *   the usher    (usher.c) forked by the waiter; has the host's rights and uses them: joins the container's cgroups and namespaces, all but
 *                to be in its PID namespace, where nobody is but who is born there; then gives them up, forks, and ends
 *   the command  (command.c) is born in the container with what it may have there and no more: whoever in the container may trace it
 *                (CAP_SYS_PTRACE), from its first moment on, gets no right, no descriptor and no directory by it
 *
 * On the control socket comes the request: four bytes of length, then fields "name=value", each ended by a NUL, so that no
 * value can pose as another field. Then the waiter takes the token, an eventfd that holds 1; or the runtime has taken it back,
 * since it took too long, or nobody wants the command any more: whoever reads it has the say, and the waiter that has not got it ends.
 * On the control socket go back, as it happens:
 *
 *   'B'                     the token is taken: from here on the command may have begun
 *   'T'                     the terminal's master is on the other socket (SCM_RIGHTS)
 *   'F', words, NUL         there is no command, and why, in crun's words
 *   'R' or 'X', one byte    its exit code: its own, or 128 + n after signal n. With 'R' nobody is left in the exec's group, and
 *                           the waiter removes it; with 'X' that is the runtime's
 *
 * The same program, by its first argument, starts the host's programs for the runtime ("start", starter.c), and stands before the OCI
 * runtime that conmon calls ("create", create.c); and makes pods' network namespaces ("netns", netns.c).
 */
#pragma once
#include <limits.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What the runtime expects of this program. oci/exec-request.ts */
#define PROTOCOL "10"

#define NEVER_RETURNS __attribute__((noreturn))

enum {
  PORTER = 3,   /* the porter's socket to the runtime */
  CONTROL = 3,  /* in a waiter: the exec's own; in an usher and a command: a pipe to the waiter, for what it passes on */
  TOKEN = 4,    /* in a waiter, until it has it: the right to begin */
  TERMINAL = 5, /* where a terminal's master goes */
  DESCRIPTORS = 6, /* of one exec at most */
  KEPT = 4,     /* in a command: what it joins its cgroup by, at its limit of processes */
  MAX_CGROUPS = 64, /* of a request */
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

/* What of its place and program the usher has found, with the rights of root in the container. */
struct found {
  char executable[PATH_MAX];
  bool entered; /* the working directory */
  int error;    /* of the executable, or 0 */
};

/* ---- the programs: porter.c, starter.c, create.c, netns.c ----------------------------------------------------------------- */

int run_porter(void);
int run_starter(void);
int run_create(int count, char **arguments);
int run_netns(int count, char **arguments);

/* ---- view.c -------------------------------------------------------------------------------------------------------- */

/* This process' mounts without the v2 half of a hybrid host's cgroups. What could not be done, or NULL; with errno. */
const char *hide_unified(void);

/* ---- the processes: waiter.c, usher.c, command.c ------------------------------------------------------------------- */

/* One exec, in a process of its own, with its descriptors as 0, 1, 2, ... Returns the exit code, and a group that nobody is left in. */
int enter(const char **empty_group);
void NEVER_RETURNS run_usher(const struct request *, struct sock_fprog *filter, int pidfd, bool in_group, bool late);
void NEVER_RETURNS run_command(const struct request *, struct found *, const struct sock_fprog *filter, int limiting);

/* Fails the exec where it cannot be set. usher.c */
void set_limit(const struct limit *);

/* How an usher makes a command: as the waiter's child. */
#define BIRTH ((unsigned long)CLONE_PARENT | SIGCHLD)

/* ---- request.c ----------------------------------------------------------------------------------------------------- */

struct request read_request(void);

/* ---- container.c --------------------------------------------------------------------------------------------------- */

int pin_init(const struct request *);
void refuse_paused(const struct request *);
void enter_namespaces(const struct request *, int pidfd);

/* ---- cgroups.c ----------------------------------------------------------------------------------------------------- */

void make_group(const char *path);
pid_t fork_into(const char *group, bool *in_group);
const char *limiting_file(const struct request *);
int join_cgroups(const struct request *, bool in_group, bool late);

/* ---- rights.c ------------------------------------------------------------------------------------------------------ */

void set_profile(const char *profile);
void leave_keyring(void);
void limit_bounding_set(uint64_t kept);
void become_user(const struct request *, uint64_t more);
void set_capabilities(const struct request *, uint64_t more);

/* ---- seccomp.c, seccomp-answer.c ----------------------------------------------------------------------------------- */

struct sock_fprog read_filter(const struct request *);
void apply_filter(const struct sock_fprog *);
bool may_be_loaded_early(const struct request *, const struct sock_fprog *);
/* Does the filter let this call of ours happen? */
bool seccomp_allows(const struct sock_fprog *, int number, uint64_t first, uint64_t second);

/* ---- terminal.c, program.c ----------------------------------------------------------------------------------------- */

void open_terminal(const struct request *);
bool find_executable(const struct request *, char found[PATH_MAX]);
bool enter_directory(const char *directory);

/* ---- words.c ------------------------------------------------------------------------------------------------------- */

/* What the user of a command without a terminal is told on its stderr; on a terminal the runtime tells it. */
extern bool tell_stderr;
void NEVER_RETURNS __attribute__((format(printf, 2, 3))) fail(int error, const char *format, ...);
void write_all(int fd, const void *bytes, size_t count);
/* The memory; there is no going on without. */
void *need(void *memory);
