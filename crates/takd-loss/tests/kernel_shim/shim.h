// Lets a plain C++ compiler run the CUDA and the Metal kernel: a thread a thread, a barrier a barrier. Slow, and enough
// to hold their arithmetic, their indices and their barriers to the CPU kernel's results.
#pragma once
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#define KD_SHIM
typedef unsigned int uint;
typedef unsigned short ushort;
struct Index { uint x = 0, y = 0; };
static thread_local Index threadIdx, blockIdx, blockDim;
static thread_local std::barrier<>* shim_barrier;
static thread_local void* shim_shared;

#define BARRIER shim_barrier->arrive_and_wait()
#define EXP2(x) exp2f(x)
#define LOG(x) logf(x)
#define MAX(a, b) fmaxf(a, b)

static inline float shim_from_half(ushort bits) {
  uint exponent = (bits >> 10) & 31, fraction = bits & 1023;
  float value = exponent == 0    ? std::ldexp((float)fraction, -24)
                : exponent == 31 ? (fraction ? NAN : INFINITY)
                                 : std::ldexp((float)(fraction + 1024), (int)exponent - 25);
  return bits >> 15 ? -value : value;
}
static inline ushort shim_to_half(float value) { // to nearest even
  ushort sign = std::signbit(value) ? 0x8000 : 0;
  float size = std::fabs(value);
  if (std::isnan(value)) return 0x7fff;
  if (size >= 65520.f) return sign | 0x7c00;
  if (size < std::ldexp(1.f, -14)) return sign | (ushort)std::nearbyint(std::ldexp(size, 24));
  int exponent;
  std::frexp(size, &exponent); // size = f * 2^exponent, f in [1/2, 1)
  int bits = (int)std::nearbyint(std::ldexp(size, 11 - exponent)) + ((exponent + 13) << 10);
  return sign | (ushort)bits;
}

// Runs `kernel` on a grid of blocks, the threads of a block at once.
static void shim_launch(uint blocks, Index block, size_t shared_bytes, const std::function<void()>& kernel) {
  for (uint index = 0; index < blocks; ++index) {
    std::barrier<> barrier(block.x * block.y);
    std::vector<char> shared(shared_bytes);
    std::vector<std::thread> threads;
    for (uint y = 0; y < block.y; ++y) {
      for (uint x = 0; x < block.x; ++x) {
        threads.emplace_back([&, x, y] {
          threadIdx = {x, y}, blockIdx = {index, 0}, blockDim = block;
          shim_barrier = &barrier, shim_shared = shared.data();
          kernel();
          barrier.arrive_and_drop();
        });
      }
    }
    for (auto& thread : threads) thread.join();
  }
}
