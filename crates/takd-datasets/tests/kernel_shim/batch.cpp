// Runs the CUDA kernel thread after thread: input and output are the files named by the arguments.
#include <cstdint>
#include <cstdio>
#include <vector>

#define BATCH_SHIM
#define KERNEL static
struct Index { unsigned x; };
static Index threadIdx, blockIdx, blockDim;
#include "batch.cu"

struct Header {
  uint32_t threads, images, height, width, group, first, batch;
};

static FILE* file;
template <typename Value> static std::vector<Value> read(size_t count) {
  std::vector<Value> values(count);
  if (fread(values.data(), sizeof(Value), count, file) != count) values.clear();
  return values;
}

int main(int, char** names) {
  file = fopen(names[1], "rb");
  if (!file) return 1;
  const std::vector<Header> headers = read<Header>(1);
  if (headers.empty()) return 1;
  const Header header = headers[0];
  const size_t size = (size_t)header.height * header.width * 3;
  const auto pixels = read<unsigned char>(header.images * size);
  const auto labels = read<uint32_t>(header.images);
  const auto table = read<float>(3 * 256);
  const auto windows = read<uint32_t>(4 * header.group);
  fclose(file);
  if (windows.empty()) return 1;
  std::vector<float> batch(header.batch * size);
  std::vector<uint32_t> batch_labels(header.batch);
  blockDim.x = header.threads;
  for (blockIdx.x = 0; blockIdx.x < header.batch; ++blockIdx.x) {
    for (threadIdx.x = 0; threadIdx.x < header.threads; ++threadIdx.x) {
      make_batch(pixels.data(), labels.data(), table.data(), windows.data() + header.first, header.group, header.height,
                 header.width, batch.data(), batch_labels.data());
    }
  }
  FILE* output = fopen(names[2], "wb");
  if (!output) return 1;
  if (fwrite(batch.data(), sizeof(float), batch.size(), output) != batch.size()) return 1;
  if (fwrite(batch_labels.data(), sizeof(uint32_t), batch_labels.size(), output) != batch_labels.size()) return 1;
  return fclose(output) == 0 ? 0 : 1;
}
