#include <stdio.h>
#include <string.h>

#include "hawser-exec.h"

int main(int count, char **arguments) {
  if (count < 2) return run_porter();
  if (strcmp(arguments[1], "start") == 0) return run_starter();
  if (strcmp(arguments[1], "create") == 0) return run_create(count - 2, arguments + 2);
  if (strcmp(arguments[1], "netns") == 0) return run_netns(count - 2, arguments + 2);
  fprintf(stderr, "hawser-exec: `%s`? The runtime starts this, nobody else.\n", arguments[1]);
  return FAILED;
}
