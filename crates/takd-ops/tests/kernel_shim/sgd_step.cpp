// Runs the CUDA kernels thread after thread: input and output are the files named by the arguments.
#include <cstdint>
#include <cstdio>
#include <vector>

#define SGD_SHIM
#define KERNEL static
struct Index { unsigned x, y; };
static Index threadIdx, blockIdx, blockDim, gridDim;
static void atomicMin(unsigned* to, unsigned value) {
  if (value < *to) *to = value;
}
#include "sgd_step.cu"

struct Header {
  uint32_t blocks, threads, parameters;
  int32_t nesterov;
  float lr, momentum;
};

template <typename Kernel> static void launch(const Header& header, Kernel kernel) {
  gridDim = {header.blocks, header.parameters}, blockDim = {header.threads, 1};
  for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y) {
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
      for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) kernel();
    }
  }
}

int main(int, char** names) {
  Header header;
  FILE* input = fopen(names[1], "rb");
  if (!input || fread(&header, sizeof header, 1, input) != 1 || header.parameters > MOST) return 1;
  // Of each parameter its length and weight decay, then its numbers, momentum and gradient.
  std::vector<std::vector<float>> values;
  Updates updates;
  for (unsigned i = 0; i < header.parameters; ++i) {
    uint32_t count;
    float weight_decay;
    if (fread(&count, 4, 1, input) != 1 || fread(&weight_decay, 4, 1, input) != 1) return 1;
    for (int k = 0; k < 3; ++k) {
      values.emplace_back(count);
      if (fread(values.back().data(), sizeof(float), count, input) != count) return 1;
    }
    float* at[3];
    for (int k = 0; k < 3; ++k) at[k] = values[3 * i + k].data();
    updates.at[i] = {at[0], at[1], at[2], count, weight_decay};
  }
  fclose(input);
  unsigned verdict = ~0u;
  launch(header, [&] { find_not_finite(updates, 7, &verdict); });
  launch(header, [&] { sgd_step(updates, header.lr, header.momentum, header.nesterov, &verdict); });
  FILE* output = fopen(names[2], "wb");
  if (!output || fwrite(&verdict, 4, 1, output) != 1) return 1;
  for (auto& numbers : values) {
    if (fwrite(numbers.data(), sizeof(float), numbers.size(), output) != numbers.size()) return 1;
  }
  return fclose(output) == 0 ? 0 : 1;
}
