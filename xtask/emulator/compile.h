// Kernels' source to a shared library.
#pragma once
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

// What a "PTX" of the emulator begins with; the source after the preprocessor follows.
static const char MAGIC[] = "//takd-emulator\n";

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Runs a command line; its output is added to `log`.
inline bool run(const std::string& command, std::string& log) {
  FILE* output = popen((command + " 2>&1").c_str(), "r");
  if (!output) return false;
  char buffer[4096];
  while (size_t count = fread(buffer, 1, sizeof buffer, output)) log.append(buffer, count);
  return pclose(output) == 0;
}

inline std::string compiler() {
  const char* named = getenv("CXX");
  return named && *named ? named : "c++";
}

// A name in the folder of compiled kernels that nobody else writes to.
inline std::string temporary(const char* suffix) {
  static int number = 0;
  mkdir(TAKD_EMULATOR_CACHE, 0777);
  return std::string(TAKD_EMULATOR_CACHE "/") + std::to_string(getpid()) + "-" + std::to_string(__sync_fetch_and_add(&number, 1)) + suffix;
}

// ---- the text ----

inline size_t skip_space(const std::string& text, size_t at) {
  while (at < text.size() && isspace((unsigned char)text[at])) ++at;
  return at;
}
inline bool word_char(char c) { return isalnum((unsigned char)c) || c == '_'; }
inline std::string word_at(const std::string& text, size_t at) {
  size_t end = at;
  while (end < text.size() && word_char(text[end])) ++end;
  return text.substr(at, end - at);
}
// Where `word` stands as a whole word, from `at` on.
inline size_t find_word(const std::string& text, const std::string& word, size_t at) {
  while ((at = text.find(word, at)) != std::string::npos) {
    if ((at == 0 || !word_char(text[at - 1])) && !word_char(text[at + word.size()])) return at;
    at += word.size();
  }
  return at;
}
// Just after the parenthesis that closes the one at `at`; strings hold no parentheses that count.
inline size_t after_parenthesis(const std::string& text, size_t at) {
  int depth = 0;
  for (bool quoted = false; at < text.size(); ++at) {
    if (text[at] == '"' && text[at - 1] != '\\') quoted = !quoted;
    if (quoted) continue;
    if (text[at] == '(') ++depth;
    if (text[at] == ')' && --depth == 0) return at + 1;
  }
  return at;
}

// `extern __shared__ T name[]` becomes a pointer to the block's dynamic shared memory.
inline void rewrite_shared(std::string& text) {
  for (size_t at = 0; (at = find_word(text, "extern", at)) != std::string::npos; ++at) {
    size_t from = skip_space(text, at + 6);
    if (word_at(text, from) != "__shared__") continue;
    from = skip_space(text, from + 10);
    for (std::string word; (word = word_at(text, from)) == "__align__" || word == "alignas";) {
      from = skip_space(text, after_parenthesis(text, text.find('(', from)));
    }
    size_t bracket = text.find('[', from), name = bracket;
    while (isspace((unsigned char)text[name - 1])) --name;
    size_t name_end = name;
    while (word_char(text[name - 1])) --name;
    size_t end = text.find(']', bracket) + 1;
    std::string type = text.substr(from, name - from);
    text.replace(at, end - at, type + "* " + text.substr(name, name_end - name) + " = (" + type + "*)takd_shared_memory");
  }
}

// `asm("cvt.f32.f16 %0, %1;" : "=f"(a) : "h"(b))` becomes `takd_asm_cvt_f32_f16(a, b)`.
inline void rewrite_asm(std::string& text) {
  for (size_t at = 0; (at = find_word(text, "asm", at)) != std::string::npos; ++at) {
    size_t open = skip_space(text, at + 3);
    if (word_at(text, open) == "volatile") open = skip_space(text, open + 8);
    if (text[open] != '(') continue;
    size_t end = after_parenthesis(text, open), name = skip_space(text, open + 1);
    std::string call = "takd_asm_", separator = "(";
    for (++name; name < end && (word_char(text[name]) || strchr(".:", text[name])); ++name) call += word_char(text[name]) ? text[name] : '_';
    // Each operand is in parentheses, after the strings.
    for (size_t operand = text.find('"', name) + 1; (operand = text.find_first_of("(\"", operand)) < end - 1;) {
      if (text[operand] == '"') {
        operand = text.find('"', operand + 1) + 1;
        continue;
      }
      size_t close = after_parenthesis(text, operand);
      call += separator + text.substr(operand + 1, close - operand - 2);
      separator = ", ";
      operand = close;
    }
    text.replace(at, end - at, call + (separator == "(" ? "()" : ")"));
  }
}

// For each kernel a function that the driver finds by the kernel's name, and the most threads a block of it may have.
inline std::string entries(const std::string& text) {
  std::string entries;
  for (size_t at = 0; (at = find_word(text, "__global__", at)) != std::string::npos; ++at) {
    size_t before = at;
    while (before > 0 && isspace((unsigned char)text[before - 1])) --before;
    if (before < 3 || text.compare(before - 3, 3, "\"C\"") != 0) continue; // a template, of which something else is launched
    std::string bound = "1024";
    size_t name = skip_space(text, at + 10);
    for (std::string word; (word = word_at(text, name)) == "void" || word == "__launch_bounds__";) {
      name = skip_space(text, name + word.size());
      if (word == "void") continue;
      size_t end = after_parenthesis(text, name);
      bound = "takd_first" + text.substr(name, end - name);
      name = skip_space(text, end);
    }
    std::string kernel = word_at(text, name);
    entries += "extern \"C\" void takd_launch_" + kernel + "(Launch* launch) { takd::start(launch, " + kernel + "); }\n" +
               "extern \"C\" const unsigned takd_bound_" + kernel + " = " + bound + ";\n";
  }
  return entries;
}

// Compiles what came out of the preprocessor, or finds it compiled; the library's path, empty where it does not compile.
inline std::string compile(std::string text, std::string& log) {
  rewrite_shared(text);
  rewrite_asm(text);
  std::string functions = entries(text);
  for (size_t at = 0; (at = text.find("extern \"C\" __global__", at)) != std::string::npos;) text.erase(at, 10);
  // Without a name that other files could refer to, `__shared__` variables of templates are plain ones.
  std::string source = "#include \"device.h\"\nnamespace {\n" + text + "\n}\n# 1 \"entries\"\n" +
                       "static constexpr unsigned takd_first(unsigned bound, unsigned = 0, unsigned = 0) { return bound; }\n" + functions;
  std::string command = compiler() + " -std=c++17 -O1 -g -shared -fPIC -w -ffp-contract=off -fno-math-errno"
                        " -fno-strict-aliasing -fsanitize=bounds,alignment -fsanitize-undefined-trap-on-error -I" TAKD_EMULATOR_SOURCE;
  std::string prelude = read_file(TAKD_EMULATOR_SOURCE "/device.h") + read_file(TAKD_EMULATOR_SOURCE "/fibers.h") + read_file(TAKD_EMULATOR_SOURCE "/launch.h");
  char name[32];
  snprintf(name, sizeof name, "/%016zx", std::hash<std::string>()(command + prelude + source));
  std::string library = TAKD_EMULATOR_CACHE + std::string(name) + ".so";
  if (access(library.c_str(), R_OK) == 0) return library;
  std::string made = temporary(".so"), from = temporary(".cpp");
  std::ofstream(from) << source;
  bool done = run(command + " " + from + " -o " + made, log);
  if (done) rename(made.c_str(), library.c_str());
  unlink(from.c_str());
  return done ? library : "";
}
