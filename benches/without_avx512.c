/* A library to be preloaded (LD_PRELOAD), with which a program finds itself on a CPU that has AVX2 and nothing beyond.

   Frameworks ask the instruction cpuid what they may use, and not all of them can be told to use less. Linux can make
   cpuid fault (arch_prctl(2), ARCH_SET_CPUID; x86-64 alone, and CPUs that can do it show cpuid_fault in /proc/cpuinfo).
   The handler of the fault executes cpuid itself and clears the bits of AVX-512, AVX-VNNI, AMX and AVX10, which are in
   leaf 7 (Intel's Software Developer's Manual, volume 2A, CPUID). Threads and child processes inherit it. Handlers of
   SIGSEGV that others would put in its place, as PyTorch's data loaders do, are not taken. */

#define _GNU_SOURCE
#include <asm/prctl.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define BIT(n) (1u << (n))

static long allow_cpuid(long allowed) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed); }

static int system_sigaction(int number, const struct sigaction *new, struct sigaction *old) {
    static int (*next)(int, const struct sigaction *, struct sigaction *);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "sigaction");
    return next(number, new, old);
}

int sigaction(int number, const struct sigaction *new, struct sigaction *old) {
    return system_sigaction(number, number == SIGSEGV ? NULL : new, old);
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *instruction = (const unsigned char *)registers[REG_RIP];
    if (instruction[0] != 0x0f || instruction[1] != 0xa2) { /* another fault: the program's own */
        signal(number, SIG_DFL);
        return;
    }
    unsigned leaf = registers[REG_RAX], subleaf = registers[REG_RCX], a = leaf, b, c = subleaf, d;
    allow_cpuid(1);
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    allow_cpuid(0);
    if (leaf == 7 && subleaf == 0) {
        b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31)); /* AVX-512 */
        c &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14)); /* AVX-512's VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
        d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25)); /* more of it, FP16, AMX */
    }
    if (leaf == 7 && subleaf == 1) {
        a &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23)); /* AVX-VNNI, AVX-512's BF16, AMX's FP16, AVX-IFMA */
        d &= ~(BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19)); /* AVX-VNNI-INT8, AVX-NE-CONVERT, AMX, AVX10 */
    }
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    if (system_sigaction(SIGSEGV, &action, NULL) || allow_cpuid(0)) {
        perror("without_avx512: cpuid cannot be made to fault");
        exit(1);
    }
}
