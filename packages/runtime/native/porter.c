/* The porter, which forks a waiter for each exec. */
#include <errno.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hawser-exec.h"

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
  const int count = (int)(bytes / sizeof(int));
  if ((message.msg_flags & MSG_CTRUNC) == 0) return count;
  for (int n = 0; n < count; n++) close(descriptors[n]); /* there was no room for all of them */
  return 0;
}

/* In the fork: what was received becomes 0, 1, 2, ..., which are all lower than what it was received as. */
static void __attribute__((noreturn)) serve(const int descriptors[DESCRIPTORS], int count) {
  signal(SIGCHLD, SIG_DFL);
  for (int fd = 0; fd < count; fd++)
    if (dup2(descriptors[fd], fd) < 0) _exit(FAILED);
  if (syscall(SYS_close_range, count, ~0U, 0) < 0) _exit(FAILED); /* before Linux 5.9: nothing has begun, the OCI runtime can */
  const char *empty_group;
  const int code = enter(&empty_group);
  const char end[2] = {empty_group ? 'R' : 'X', (char)code};
  send(CONTROL, end, sizeof end, MSG_NOSIGNAL);
  if (empty_group) rmdir(empty_group);
  _exit(0);
}

int run_porter(void) {
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
    pid_t pid = count > TOKEN ? fork() : 0;
    if (pid == 0 && count > TOKEN) serve(descriptors, count);
    if (pid < 0) {
      char words[128];
      int length = snprintf(words, sizeof words, "Ffork: %s", strerror(errno));
      send(descriptors[CONTROL], words, (size_t)length + 1, MSG_NOSIGNAL);
    }
    for (int n = 0; n < count; n++) close(descriptors[n]);
  }
  return 0;
}
