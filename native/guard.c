/*
 * guard: the program of a guard process, which turns off the DMA of one PCI function when the process
 * that drives the function has ended without closing it. src/pci/guard.ts says why it is a program.
 *
 * Descriptor 0 is one end of a pair of sockets. Only the driving process has the other end, which the
 * kernel closes however that process ends. Each message is one byte: 1 arms the guard, 0 disarms it. It
 * may carry descriptors of DMA memory. The guard only keeps these open, so that the kernel does not
 * free the memory. Descriptor 1 is the function's configuration space, open and locked.
 *
 * It is linked without libc, and makes system calls and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define COMMAND 4
#define COMMAND_BUS_MASTER 4
#define MAX_FDS 16

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static long call(long number, long a, long b, long c, long d) {
  long result;
  register long fourth __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                   : "rcx", "r11", "memory");
  return result;
}

/* Exempts the guard from the OOM killer, even if it kills the whole control group. Needs root. */
static void survive_oom(void) {
  int fd = (int)call(SYS_open, (long)"/proc/self/oom_score_adj", O_WRONLY, 0, 0);
  if (fd < 0) return;
  call(SYS_write, fd, (long)"-1000", 5, 0);
  call(SYS_close, fd, 0, 0, 0);
}

/* Receives messages until the other end is closed; returns the last byte. */
static char last_message(void) {
  char armed = 0;
  for (;;) {
    union { char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))]; struct cmsghdr align; } control;
    struct iovec v = {&armed, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    long n = call(SYS_recvmsg, 0, (long)&m, 0, 0);
    if (n != 1 && n != -EINTR) return armed;
  }
}

static void stop_dma(void) {
  uint16_t command;
  if (call(SYS_pread64, 1, (long)&command, sizeof command, COMMAND) != sizeof command) return;
  command &= (uint16_t)~COMMAND_BUS_MASTER;
  call(SYS_pwrite64, 1, (long)&command, sizeof command, COMMAND);
  /* The completion of a read does not pass earlier writes (PCI Express 2.4.1): when this returns, all
   * that the function has written is in memory. */
  call(SYS_pread64, 1, (long)&command, sizeof command, COMMAND);
}

/* The kernel enters here with a stack alignment that functions do not expect. */
__attribute__((force_align_arg_pointer, noreturn)) void _start(void) {
  call(SYS_prctl, PR_SET_NAME, (long)"ixy-guard", 0, 0);
  /* A reader of the standard error must see its end when the driving process ends: close it here. */
  call(SYS_close_range, 2, ~0U, 0, 0);
  survive_oom();
  if (last_message()) stop_dma();
  for (;;) call(SYS_exit_group, 0, 0, 0, 0);
}
