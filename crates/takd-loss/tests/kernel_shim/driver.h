// Reads one problem from a file, runs the kernel on it, writes the results to another:
//
//   driver THREADS ROWS_A_BLOCK INPUT OUTPUT
//
// Input: the kernel's Terms; student, each teacher, labels; weights and gradient from above, each where Terms says that it
// is given. Output: the sum of the losses (f32), losses, gradient. As a training step does, it runs the kernel once without
// the gradient from above, and where there is one, once more with it.
#include <cstdio>
#include <cstdlib>

static FILE* input;
// Aligned as a device's memory is.
template <typename Number> struct Memory {
  alignas(16) Number* at;
  size_t count;
  Memory(bool given, size_t count) : count(given ? count : 0) {
    at = (Number*)aligned_alloc(64, (this->count * sizeof(Number) / 64 + 1) * 64);
    if (fread(at, sizeof(Number), this->count, input) != this->count) abort();
  }
};

int main(int, char** arguments) {
  Index block = {(uint)atoi(arguments[1]), (uint)atoi(arguments[2])};
  input = fopen(arguments[3], "rb");
  Terms terms = *Memory<Terms>(true, 1).at;
  size_t size = (size_t)terms.batch * terms.classes;
  Memory<STUDENT> student(true, size);
  const TEACHER* teachers[MOST_TEACHERS] = {};
  for (uint i = 0; i < terms.teachers; ++i) teachers[i] = Memory<TEACHER>(true, size).at;
  Memory<uchar> labels(true, (size_t)terms.batch * terms.label_bytes);
  Memory<float> weights(terms.given & GIVEN_WEIGHTS, terms.batch);
  Memory<float> upstream(terms.given & GIVEN_UPSTREAM, terms.upstream_step ? terms.batch : 1);
  std::vector<STUDENT> grad(size);
  std::vector<float> losses(terms.batch + 1);
  float total = 0.f, of_losses = 0.f;

  Index line = {32, 1};
  if (terms.given & GIVEN_TOTAL) {
    shim_launch(1, line, 32 * sizeof(float), [&] { sum(nullptr, labels.at, weights.at, terms, &total); });
  }
  auto launch = [&](uint given, float* losses) {
    Terms told = terms;
    told.given = given;
    shim_launch((terms.batch + block.y - 1) / block.y, block, block.x * block.y * sizeof(Sums), [&] {
      rows(student.at, teachers, labels.at, weights.at, &total, upstream.at, told, losses, grad.data());
    });
  };
  launch(terms.given & ~GIVEN_UPSTREAM, losses.data());
  if (terms.given & GIVEN_UPSTREAM) launch(terms.given, nullptr);
  shim_launch(1, line, 32 * sizeof(float), [&] { sum(losses.data(), labels.at, weights.at, terms, &of_losses); });

  FILE* output = fopen(arguments[4], "wb");
  fwrite(&of_losses, sizeof of_losses, 1, output);
  fwrite(losses.data(), sizeof(float), terms.batch, output);
  fwrite(grad.data(), sizeof(STUDENT), size, output);
  fclose(output);
}
