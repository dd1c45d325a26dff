// Runs the CUDA kernel thread after thread: input and output are the files named by the arguments.
#include <cstdint>
#include <cstdio>
#include <vector>

#define SGD_SHIM
#define KERNEL static
struct Index { unsigned x; };
static Index threadIdx, blockIdx, blockDim, gridDim;
#include "sgd_step.cu"

struct Header {
  uint32_t blocks, threads, count;
  int32_t nesterov;
  float lr, momentum, weight_decay;
};

int main(int, char** names) {
  Header header;
  FILE* input = fopen(names[1], "rb");
  if (!input || fread(&header, sizeof header, 1, input) != 1) return 1;
  std::vector<float> values[3]; // parameter, momentum buffer, gradient
  for (auto& numbers : values) {
    numbers.resize(header.count);
    if (fread(numbers.data(), sizeof(float), header.count, input) != header.count) return 1;
  }
  fclose(input);
  gridDim.x = header.blocks, blockDim.x = header.threads;
  for (blockIdx.x = 0; blockIdx.x < header.blocks; ++blockIdx.x) {
    for (threadIdx.x = 0; threadIdx.x < header.threads; ++threadIdx.x) {
      sgd_step(values[0].data(), values[1].data(), values[2].data(), header.count, header.lr, header.momentum,
               header.weight_decay, header.nesterov);
    }
  }
  FILE* output = fopen(names[2], "wb");
  if (!output) return 1;
  for (auto& numbers : values) {
    if (fwrite(numbers.data(), sizeof(float), header.count, output) != header.count) return 1;
  }
  return fclose(output) == 0 ? 0 : 1;
}
