// What the driver and a compiled kernel know of each other.
#pragma once
#include <cstddef>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct uint3 {
  unsigned x, y, z;
};

struct Launch {
  dim3 grid, block;
  void** arguments;
  char* shared;             // dynamic shared memory: ends, but for alignment, where a page that cannot be touched begins
  size_t shared_bytes;
  char* stacks;             // one for each thread of a block
  size_t stack_bytes;
  void (*argument)(int index, const void* pointer); // is told of each argument that is a pointer
  [[noreturn]] void (*fail)(const char* what);
  const uint3 *at_block, *at_thread;                // where it is, for messages
};
