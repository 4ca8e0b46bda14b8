/* The waiter: one exec, from its request to its end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hawser-exec.h"

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

/* Of an exec's words, how many the runtime was told: after the last of them there is nothing to say but the end. */
struct told {
  bool terminal; /* 'T', or there is no terminal to tell of */
  bool failure;
};

/*
 * Passes on what an usher or a command has said, each of their words once, and nothing that they never say: a container that
 * may trace its command may have got hold of the pipe, keep it open for ever, and write to it without end, also the waiter's own
 * words. So it is never waited for, and no more is read than their words can be.
 */
static void pass_on(int pipe, struct told *told) {
  char words[MAX_WORDS];
  ssize_t got = read(pipe, words, sizeof words);
  const char *at = words, *end = words + (got > 0 ? got : 0);
  if (at < end && *at == 'T' && !told->terminal) told->terminal = tell(at++, 1);
  const char *nul = at < end && *at == 'F' && !told->failure ? memchr(at, '\0', (size_t)(end - at)) : NULL;
  if (nul != NULL) told->failure = tell(at, (size_t)(nul + 1 - at));
}

static void ignore(int signal) { (void)signal; }

/* Until the command says something, or has ended. */
static void await_word(int pipe) {
  struct sigaction action = {.sa_handler = ignore}; /* what is at its default, ignored, interrupts no poll */
  sigset_t child, before;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  if (sigaction(SIGCHLD, &action, NULL) < 0 || sigprocmask(SIG_BLOCK, &child, &before) < 0) return;
  struct pollfd word = {.fd = pipe, .events = POLLIN};
  siginfo_t ended = {0};
  while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0)
    if (ppoll(&word, 1, NULL, &before) > 0) break;
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

/* The right to begin, which is given once: the runtime may have taken it back, and begun elsewhere. */
static void take_token(void) {
  uint64_t token;
  if (read(TOKEN, &token, sizeof token) != sizeof token) _exit(FAILED);
  close(TOKEN);
}

/*
 * The group is made. A runtime that is there yet finds it when it is started again, whatever happens; of one that is gone by now,
 * the next may have looked already.
 */
static void need_runtime(const char *group) {
  struct pollfd control = {.fd = CONTROL};
  if (poll(&control, 1, 0) <= 0 || (control.revents & POLLHUP) == 0) return;
  rmdir(group);
  _exit(FAILED);
}

/* Has the command left nobody there? To look takes no lock; a removal may wait for others', so the runtime is not kept waiting for it. */
static bool is_empty(const char *group) {
  char file[PATH_MAX], text[256];
  if (snprintf(file, sizeof file, "%s/cgroup.events", group) >= (int)sizeof file) return false;
  int events = open(file, O_RDONLY | O_CLOEXEC);
  if (events < 0) return false;
  ssize_t got = read(events, text, sizeof text - 1);
  close(events);
  if (got < 0) return false;
  text[got] = '\0';
  return strstr(text, "populated 0\n") != NULL;
}

/* One exec, in a process of its own. */
int enter(const char **empty_group) {
  struct request request = read_request();
  take_token();
  if (!tell("B", 1)) _exit(FAILED); /* nobody wants it any more */
  int pidfd = pin_init(&request);
  refuse_paused(&request);
  struct sock_fprog filter = read_filter(&request);
  if (request.group != NULL) {
    make_group(request.group);
    need_runtime(request.group);
  }
  leave_keyring();
  int words[2];
  if (pipe2(words, O_CLOEXEC) < 0 || fcntl(words[0], F_SETFL, O_NONBLOCK) < 0) fail(errno, "pipe");

  int code = usher(&request, &filter, pidfd, words[1], false);
  if (code == NO_ROOM) code = usher(&request, &filter, pidfd, words[1], true);
  /* Whoever reads or writes the command's streams must see the command's end of them close, not ours. */
  for (int fd = 0; fd <= 2; fd++) close(fd);
  if (request.terminal) close(TERMINAL);
  close(pidfd);
  close(words[1]);
  struct told told = {.terminal = !request.terminal};
  if (code == 0 && request.terminal) {
    await_word(words[0]);
    pass_on(words[0], &told);
  }
  const int end = wait_for(-1); /* also when the usher was killed behind its back */
  if (end >= 0) code = end;
  pass_on(words[0], &told);
  *empty_group = request.group != NULL && is_empty(request.group) ? request.group : NULL;
  return code;
}
