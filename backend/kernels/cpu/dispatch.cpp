// Chooses the instruction set once, at first use.
#include "base/check.hpp"
#include "kernels/kernels.hpp"

#include <cstdlib>
#include <string_view>
#include <type_traits>

#ifdef ELBEAM_X86
#include <cpuid.h>
#endif

namespace elbeam::kernels {

namespace isa_generic {
void fill_table(KernelTable<float>& table);
void fill_table(KernelTable<double>& table);
}  // namespace isa_generic
#ifdef ELBEAM_X86
namespace isa_avx2 {
void fill_table(KernelTable<float>& table);
void fill_table(KernelTable<double>& table);
}  // namespace isa_avx2
namespace isa_avx512 {
void fill_table(KernelTable<float>& table);
void fill_table(KernelTable<double>& table);
}  // namespace isa_avx512
namespace isa_vnni {
void fill_table(KernelTable<float>& table);
}  // namespace isa_vnni
namespace isa_bfloat16 {
void fill_table(KernelTable<float>& table);
}  // namespace isa_bfloat16
#endif

namespace {

#ifdef ELBEAM_X86
// clang 14 does not know this name in __builtin_cpu_supports. Every processor with AVX2 has it.
bool has_f16c() noexcept {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

template <typename T>
KernelTable<T> make_table(Isa isa) {
  KernelTable<T> table{};
  isa_generic::fill_table(table);
#ifdef ELBEAM_X86
  if (isa == Isa::kAvx2) isa_avx2::fill_table(table);
  if (isa == Isa::kAvx512) isa_avx512::fill_table(table);
  if constexpr (std::is_same_v<T, float>) {
    if (isa == Isa::kAvx512 && __builtin_cpu_supports("avx512vnni")) isa_vnni::fill_table(table);
    if (isa == Isa::kAvx512 && __builtin_cpu_supports("avx512bf16"))
      isa_bfloat16::fill_table(table);
  }
#endif
  table.isa = isa;
  return table;
}

}  // namespace

const char* isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::kGeneric:
      return "generic";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "generic";
}

bool isa_supported(Isa isa) noexcept {
#ifdef ELBEAM_X86
  if (isa == Isa::kAvx2) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  }
  if (isa == Isa::kAvx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return isa == Isa::kGeneric;
}

Isa active_isa() {
  if (const char* forced = std::getenv("ELBEAM_ISA"); forced != nullptr && *forced != '\0') {
    for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
      if (std::string_view(forced) != isa_name(isa)) continue;
      ELBEAM_CHECK(isa_supported(isa), ErrorCode::kUsage, "ELBEAM_ISA=", forced,
                   ": this processor does not have these instructions");
      return isa;
    }
    fail(ErrorCode::kUsage, "ELBEAM_ISA: expected generic, avx2 or avx512, got ", quoted(forced));
  }
  if (isa_supported(Isa::kAvx512)) return Isa::kAvx512;
  return isa_supported(Isa::kAvx2) ? Isa::kAvx2 : Isa::kGeneric;
}

template <typename T>
const KernelTable<T>& kernels_of(Isa isa) {
  static const KernelTable<T> generic = make_table<T>(Isa::kGeneric);
  static const KernelTable<T> avx2 = make_table<T>(Isa::kAvx2);
  static const KernelTable<T> avx512 = make_table<T>(Isa::kAvx512);
  if (isa == Isa::kAvx512) return avx512;
  return isa == Isa::kAvx2 ? avx2 : generic;
}

template <typename T>
const KernelTable<T>& kernels() {
  static const Isa isa = active_isa();
  return kernels_of<T>(isa);
}

template const KernelTable<float>& kernels<float>();
template const KernelTable<double>& kernels<double>();
template const KernelTable<float>& kernels_of<float>(Isa);
template const KernelTable<double>& kernels_of<double>(Isa);

}  // namespace elbeam::kernels
