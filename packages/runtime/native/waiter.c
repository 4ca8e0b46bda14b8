/* The waiter: one exec, from its request to its end. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>

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
int enter(void) {
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
