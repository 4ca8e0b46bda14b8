/* What is said to the runtime, and to the command's user, when there is no command. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hawser-exec.h"

bool tell_stderr = false;

void write_all(int fd, const void *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes = (const char *)bytes + written;
    count -= (size_t)written;
  }
}

/* Says why and ends this process. `error` is an errno, or 0. */
void fail(int error, const char *format, ...) {
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

void *need(void *memory) {
  if (memory == NULL) fail(ENOMEM, "memory for the request");
  return memory;
}
