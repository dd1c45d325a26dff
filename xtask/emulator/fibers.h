// Runs a grid, a block after the other; the threads of a block are fibers that run in turn, each until it has to wait
// for others. Every second block takes its threads in reverse, so that a missing barrier is likely to be seen.
#pragma once
#include "launch.h"
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

extern "C" {
// Not static: whatever compiles a kernel must believe that a switch changes them.
__attribute__((visibility("hidden"))) uint3 threadIdx, blockIdx;
__attribute__((visibility("hidden"))) dim3 blockDim, gridDim;
__attribute__((visibility("hidden"))) char* takd_shared_memory;
// Where the kernels' `__shared__` variables lie; there may be none.
extern char __start_takd_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_takd_shared[] __attribute__((weak, visibility("hidden")));
// Saves this stack at `*from` and goes on with the one at `to`.
__attribute__((visibility("hidden"))) void takd_switch(void** from, void* to);
}

#if defined(__x86_64__)
asm(".text\n.hidden takd_switch\n.globl takd_switch\n.type takd_switch,@function\ntakd_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");
enum { TAKD_RETURN = 6 }; // which of the words that a switch leaves on the stack it returns to
#elif defined(__aarch64__)
asm(".text\n.hidden takd_switch\n.globl takd_switch\n.type takd_switch,@function\ntakd_switch:\n"
    "sub sp, sp, #160\n"
    "stp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\nstp x25, x26, [sp, #48]\n"
    "stp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\nstp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\n"
    "stp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\nldp x25, x26, [sp, #48]\n"
    "ldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\nldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\n"
    "ldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\nadd sp, sp, #160\nret\n");
enum { TAKD_RETURN = 11 };
#else
#error "the emulator has no switch between fibers for this processor"
#endif

namespace takd {

enum State : unsigned char { READY, AT_BARRIER, IN_WARP, ENDED };

// What the lanes of a warp do together: has each lane's argument, null for those that take no part.
typedef void (*Collective)(void** lanes);

struct Thread {
  void* stack;
  uint3 at;
  State state;
  int line;                 // of the barrier it waits at
  unsigned mask;
  Collective collective;
  void* argument;
};

static Launch* launch;
static Thread threads[1024];
static unsigned count, alive, waiting, current;
static void* scheduler;
static void (*body)();

// A barrier that also tells everyone how many came with `yes`.
static int barrier_yes, barrier_result;

static void release_barrier() {
  if (waiting == 0 || waiting < alive) return;
  int line = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (threads[i].state != AT_BARRIER) continue;
    if (line && threads[i].line != line) {
      static char what[128];
      snprintf(what, sizeof what, "threads of a block meet at different barriers: lines %d and %d", line, threads[i].line);
      launch->fail(what);
    }
    line = threads[i].line;
    threads[i].state = READY;
  }
  barrier_result = barrier_yes;
  barrier_yes = 0;
  waiting = 0;
}

// Carries the lanes' operation out if all of `mask` that have not ended are there.
static void try_collective(unsigned first, unsigned mask, Collective collective) {
  void* lanes[32] = {};
  for (unsigned lane = 0; lane < 32; ++lane) {
    Thread& thread = threads[first + lane];
    if (!(mask >> lane & 1) || first + lane >= count || thread.state == ENDED) continue;
    if (thread.state != IN_WARP || thread.mask != mask || thread.collective != collective) return;
    lanes[lane] = thread.argument;
  }
  collective(lanes);
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (lanes[lane]) threads[first + lane].state = READY;
  }
}

static void wait() { takd_switch(&threads[current].stack, scheduler); }

static int barrier(int line, bool yes) {
  Thread& me = threads[current];
  me.state = AT_BARRIER;
  me.line = line;
  waiting += 1;
  barrier_yes += yes;
  release_barrier();
  wait();
  return barrier_result;
}

static void together(unsigned mask, void* argument, Collective collective) {
  Thread& me = threads[current];
  if (!(mask >> current % 32 & 1)) launch->fail("a lane's mask does not have the lane itself");
  me.state = IN_WARP;
  me.mask = mask;
  me.collective = collective;
  me.argument = argument;
  try_collective(current / 32 * 32, mask, collective);
  if (me.state != READY) wait();
}

static void thread_main() {
  body();
  Thread& me = threads[current];
  me.state = ENDED;
  alive -= 1;
  release_barrier();
  unsigned first = current / 32 * 32;
  for (unsigned i = first; i < first + 32 && i < count; ++i) {
    if (threads[i].state == IN_WARP) try_collective(first, threads[i].mask, threads[i].collective);
  }
  wait();
}

[[noreturn]] static void stuck() {
  static char what[160];
  unsigned in_warp = 0;
  for (unsigned i = 0; i < count; ++i) in_warp += threads[i].state == IN_WARP;
  snprintf(what, sizeof what, "threads wait for each other: %u at a barrier, %u for lanes of their warp, %u ended", waiting,
           in_warp, count - alive);
  launch->fail(what);
}

static void run_block(bool reverse) {
  memset(__start_takd_shared, 0xff, __stop_takd_shared - __start_takd_shared);
  memset(launch->shared, 0xff, launch->shared_bytes);
  alive = count;
  waiting = barrier_yes = 0;
  for (unsigned i = 0; i < count; ++i) {
    // Aligned as a switch leaves it: on x86-64 the function it returns to begins as after a call.
    void** stack = (void**)(launch->stacks + (i + 1) * launch->stack_bytes - 256);
    stack[TAKD_RETURN] = (void*)thread_main;
    stack[TAKD_RETURN + 1] = nullptr; // nobody to return to
    threads[i].stack = stack;
    threads[i].state = READY;
  }
  while (alive) {
    bool moved = false;
    for (unsigned i = 0; i < count; ++i) {
      current = reverse ? count - 1 - i : i;
      if (threads[current].state != READY) continue;
      moved = true;
      threadIdx = threads[current].at;
      takd_switch(&scheduler, threads[current].stack);
    }
    if (!moved) stuck();
  }
}

static void run_grid() {
  blockDim = launch->block;
  gridDim = launch->grid;
  takd_shared_memory = launch->shared;
  launch->at_block = &blockIdx;
  launch->at_thread = &threadIdx;
  count = 0;
  for (unsigned z = 0; z < blockDim.z; ++z)
    for (unsigned y = 0; y < blockDim.y; ++y)
      for (unsigned x = 0; x < blockDim.x; ++x) threads[count++].at = {x, y, z};
  bool reverse = false;
  for (unsigned z = 0; z < gridDim.z; ++z)
    for (unsigned y = 0; y < gridDim.y; ++y)
      for (unsigned x = 0; x < gridDim.x; ++x, reverse = !reverse) {
        blockIdx = {x, y, z};
        run_block(reverse);
      }
}

template <class T> static T argument(int index) {
  T value;
  memcpy((void*)&value, launch->arguments[index], sizeof value);
  if constexpr (std::is_pointer_v<T>) launch->argument(index, (const void*)value);
  return value;
}

template <class... A, size_t... I> static void start(Launch* what, void (*kernel)(A...), std::index_sequence<I...>) {
  launch = what;
  static void (*function)(A...);
  static std::tuple<std::remove_cv_t<A>...>* arguments;
  std::tuple<std::remove_cv_t<A>...> values{argument<std::remove_cv_t<A>>(I)...};
  function = kernel;
  arguments = &values;
  body = [] { std::apply(function, *arguments); };
  run_grid();
}

template <class... A> static void start(Launch* what, void (*kernel)(A...)) {
  start(what, kernel, std::index_sequence_for<A...>());
}

} // namespace takd
