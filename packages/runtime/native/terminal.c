/* A terminal of the container's, for the command and the runtime. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "hawser-exec.h"

#ifndef TIOCGPTPEER /* newer than the headers this may be compiled with */
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/*
 * A terminal of the container's own devpts, with its size, as stdio; its master goes to the runtime. The master has to be a real
 * one, whatever the container has made of /dev/ptmx, and the other end is asked of the master, not of a path.
 */
void open_terminal(const struct request *request) {
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
