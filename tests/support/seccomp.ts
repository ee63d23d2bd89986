/**
 * A program that runs another one without some system calls, as containers and sandboxes forbid them. Not a
 * test itself.
 *
 * @module
 */

import { tool } from "./processes.ts";

/** Numbers of system calls on x86-64. */
export const SYSTEM_CALL = { socket: 41, memfd_create: 319, bpf: 321 } as const;

/**
 * `deny CALL... -- PROGRAM`: each CALL is the number of a system call, or `NUMBER:ARGUMENT:ERRNO`, which
 * denies it with this first argument only, and with this error (default: EPERM).
 */
const SOURCE = `
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#define LOAD(field) (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF_NOT(value, skip) (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
#define RETURN(value) (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value)
int main(int count, char **words) {
  struct sock_filter code[64];
  unsigned short n = 0;
  int i = 1;
  for (; i < count && strcmp(words[i], "--"); i++) {
    unsigned number, argument, error = EPERM;
    int found = sscanf(words[i], "%u:%u:%u", &number, &argument, &error);
    code[n++] = LOAD(nr);
    code[n++] = IF_NOT(number, found > 1 ? 3 : 1);
    if (found > 1) {
      code[n++] = LOAD(args[0]);
      code[n++] = IF_NOT(argument, 1);
    }
    code[n++] = RETURN(SECCOMP_RET_ERRNO | error);
  }
  code[n++] = RETURN(SECCOMP_RET_ALLOW);
  struct sock_fprog program = {n, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
    return 125;
  execvp(words[i + 1], words + i + 1);
  return 127;
}
`;

/** Compiles the program to this path. */
export async function buildDeny(path: string): Promise<void> {
  await Deno.writeTextFile(`${path}.c`, SOURCE);
  await tool("gcc", "-Wall", "-Werror", "-o", path, `${path}.c`);
}
