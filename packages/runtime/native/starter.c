/*
 * The starter: starts programs on the host for the runtime, whose event loop would otherwise stand still until each has a processor
 * and has become its program. They are the runtime's own children, as if it had started them: it alone waits for them.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hawser-exec.h"

enum {
  REQUESTS = 3,               /* the runtime's: one packet for each program (native/starter.ts) */
  ANSWERS = 4,                /* a pipe to it */
  MAX_PACKET = 64 * 1024,     /* maxRequestBytes */
  MAX_STREAMS = 8,            /* maxStreams */
  MAX_STRINGS = MAX_PACKET / 2,
};

/* What a program gets to see of the host. */
enum view { AS_IT_IS, WITHOUT_UNIFIED, OF_NAMESPACE };

/* A packet begins with this. Then strings, each ended by a NUL: path, working directory, arguments, environment. */
struct header {
  uint32_t streams, arguments, variables, view;
};

struct answer {
  int32_t pid;   /* 0 when there is no child */
  int32_t error; /* an errno when it has not become the program */
  char call[16]; /* that failed */
};

struct program {
  enum view view;
  unsigned streams;
  int descriptors[MAX_STREAMS + 1]; /* 0, 1, 2, ..., and of OF_NAMESPACE the mount namespace */
  const char *path, *directory;
  char **arguments, **variables;
};

/* The child shares this memory until it has become its program. */
static struct answer answer;
static char stack[64 * 1024] __attribute__((aligned(16)));

static int NEVER_RETURNS give_up(const char *call) {
  answer.error = errno;
  strncpy(answer.call, call, sizeof answer.call - 1);
  _exit(127);
}

/* In the child. Descriptors were received as higher numbers than they are to have, in that order. */
static int become(void *argument) {
  const struct program *program = argument;
  /* First of all: who stands still here, at a mount that hangs, must not keep the runtime from seeing that the starter has ended. */
  close(REQUESTS);
  close(ANSWERS);
  if (program->view == WITHOUT_UNIFIED) {
    const char *failed = hide_unified();
    if (failed) give_up(failed);
  }
  if (program->view == OF_NAMESPACE && setns(program->descriptors[program->streams], CLONE_NEWNS) < 0) give_up("setns");
  if (program->directory[0] != '\0' && chdir(program->directory) < 0) give_up("chdir");
  for (unsigned fd = 0; fd < program->streams; fd++)
    if (dup2(program->descriptors[fd], (int)fd) < 0) give_up("dup2");
  if (syscall(SYS_close_range, program->streams, ~0U, 0) < 0) give_up("close_range");
  execve(program->path, program->arguments, program->variables);
  give_up("execve");
}

/* The strings of a packet; NULL when they are not as many as it says. */
static char **split(char *text, const char *end, size_t count, char **strings) {
  for (size_t n = 0; n < count; n++) {
    char *nul = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;
    if (nul == NULL) return NULL;
    strings[n] = text;
    text = nul + 1;
  }
  return text == end ? strings : NULL;
}

/* Reads a packet in place. Are its parts what it says they are? */
static bool read_program(char *packet, size_t length, int count, struct program *program) {
  static char *strings[MAX_STRINGS + 2];
  struct header header;
  if (length < sizeof header) return false;
  memcpy(&header, packet, sizeof header);
  if (header.view > OF_NAMESPACE || header.streams > MAX_STREAMS) return false;
  if (count != (int)header.streams + (header.view == OF_NAMESPACE)) return false;
  if (header.arguments == 0 || header.arguments > MAX_STRINGS / 2 || header.variables > MAX_STRINGS / 2 - 2) return false;
  const size_t total = 2 + (size_t)header.arguments + header.variables;
  if (!split(packet + sizeof header, packet + length, total, strings)) return false;
  program->path = strings[0];
  program->directory = strings[1];
  program->streams = header.streams;
  program->view = header.view;
  program->variables = strings + 2 + header.arguments + 1; /* a NULL goes between */
  memmove(program->variables, program->variables - 1, header.variables * sizeof *strings);
  program->variables[header.variables] = NULL;
  program->arguments = strings + 2;
  program->arguments[header.arguments] = NULL;
  return true;
}

static void start(char *packet, size_t length, int flags, struct program *program, int count) {
  answer = (struct answer){.call = "clone"};
  if (flags & (MSG_TRUNC | MSG_CTRUNC)) {
    answer.error = flags & MSG_TRUNC ? E2BIG : EMFILE;
    return;
  }
  if (!read_program(packet, length, count, program)) {
    answer.error = EINVAL;
    return;
  }
  const int kind = CLONE_PARENT | CLONE_VM | CLONE_VFORK | SIGCHLD;
  const pid_t pid = clone(become, stack + sizeof stack, kind, program); /* returns when it is its program, or has ended */
  if (pid < 0) answer.error = errno;
  else answer.pid = pid;
}

int run_starter(void) {
  static char packet[MAX_PACKET];
  prctl(PR_SET_NAME, "hawser-start"); /* for ps: the memfd's number says nothing */
  /* Whoever kills the runtime ends this with it. A later runtime makes sure of that, and of a child on its way, before it looks around. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return FAILED;
  setsid(); /* no terminal's Ctrl-C at the runtime ends it, or what it is starting */
  if (syscall(SYS_close_range, ANSWERS + 1, ~0U, 0) < 0) return FAILED; /* before Linux 5.9: the runtime starts everything by itself */
  _Static_assert(sizeof "hawser-exec " PROTOCOL <= sizeof answer.call, "the first answer");
  memcpy(answer.call, "hawser-exec " PROTOCOL, sizeof "hawser-exec " PROTOCOL);
  write_all(ANSWERS, &answer, sizeof answer);
  for (;;) {
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE((MAX_STREAMS + 1) * sizeof(int))];
    } control;
    struct iovec data = {.iov_base = packet, .iov_len = sizeof packet};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
        .msg_controllen = CMSG_LEN((MAX_STREAMS + 1) * sizeof(int))}; /* with the padding one more would fit */
    const ssize_t got = recvmsg(REQUESTS, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0; /* the runtime has gone */
    struct program program = {0};
    int count = 0;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
      const size_t bytes = header->cmsg_len - CMSG_LEN(0);
      memcpy(program.descriptors, CMSG_DATA(header), bytes);
      count = (int)(bytes / sizeof(int));
    }
    start(packet, (size_t)got, message.msg_flags, &program, count);
    for (int n = 0; n < count; n++) close(program.descriptors[n]);
    write_all(ANSWERS, &answer, sizeof answer);
  }
}
