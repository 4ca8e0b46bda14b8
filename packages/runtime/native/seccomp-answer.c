/*
 * What a seccomp filter says to a system call, asked without making it: seccomp's part of classic BPF.
 *
 * Source: Linux kernel/seccomp.c (seccomp_check_filter), Documentation/userspace-api/seccomp_filter.rst
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>

#include "hawser-exec.h"

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define OWN_ARCHITECTURE 0 /* no filter lets that through */
#endif

static uint32_t seccomp_operate(uint16_t operation, uint32_t left, uint32_t right) {
  switch (operation) {
    case BPF_ADD: return left + right;
    case BPF_SUB: return left - right;
    case BPF_MUL: return left * right;
    case BPF_DIV: return right == 0 ? 0 : left / right;
    case BPF_OR: return left | right;
    case BPF_AND: return left & right;
    case BPF_XOR: return left ^ right;
    case BPF_LSH: return right > 31 ? 0 : left << right;
    case BPF_RSH: return right > 31 ? 0 : left >> right;
    default: return -left; /* BPF_NEG */
  }
}

static bool seccomp_compare(uint16_t operation, uint32_t left, uint32_t right) {
  switch (operation) {
    case BPF_JEQ: return left == right;
    case BPF_JGT: return left > right;
    case BPF_JGE: return left >= right;
    case BPF_JSET: return (left & right) != 0;
    default: return true; /* BPF_JA */
  }
}

/* The filter's answer, action and data; SECCOMP_RET_KILL_PROCESS for a program that is none. */
static uint32_t seccomp_answer(const struct sock_fprog *program, const struct seccomp_data *data) {
  uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
  for (uint32_t at = 0; at < program->len; at++) {
    const struct sock_filter *step = &program->filter[at];
    const uint16_t code = step->code;
    const uint32_t k = step->k, operand = BPF_SRC(code) == BPF_X ? x : k;
    switch (BPF_CLASS(code)) {
      case BPF_LD:
      case BPF_LDX: {
        uint32_t value = k; /* BPF_IMM */
        if (BPF_MODE(code) == BPF_ABS) {
          if (k > sizeof *data - sizeof value) return SECCOMP_RET_KILL_PROCESS;
          memcpy(&value, (const char *)data + k, sizeof value);
        } else if (BPF_MODE(code) == BPF_LEN) value = sizeof *data;
        else if (BPF_MODE(code) == BPF_MEM) value = memory[k % BPF_MEMWORDS];
        else if (BPF_MODE(code) != BPF_IMM) return SECCOMP_RET_KILL_PROCESS;
        *(BPF_CLASS(code) == BPF_LD ? &a : &x) = value;
        break;
      }
      case BPF_ST: memory[k % BPF_MEMWORDS] = a; break;
      case BPF_STX: memory[k % BPF_MEMWORDS] = x; break;
      case BPF_ALU: a = seccomp_operate(BPF_OP(code), a, operand); break;
      case BPF_JMP:
        if (BPF_OP(code) == BPF_JA) at += k > program->len ? program->len : k;
        else at += seccomp_compare(BPF_OP(code), a, operand) ? step->jt : step->jf;
        break;
      case BPF_RET: return BPF_RVAL(code) == BPF_A ? a : k;
      case BPF_MISC: *(BPF_MISCOP(code) == BPF_TAX ? &x : &a) = BPF_MISCOP(code) == BPF_TAX ? a : x; break;
      default: return SECCOMP_RET_KILL_PROCESS;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

bool seccomp_allows(const struct sock_fprog *program, int number, uint64_t first, uint64_t second) {
  struct seccomp_data data = {.nr = number, .arch = OWN_ARCHITECTURE, .args = {first, second}};
  uint32_t action = seccomp_answer(program, &data) & SECCOMP_RET_ACTION_FULL;
  return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}
