#include "archive/crc32.hpp"

#include <zlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace elbeam::archive {
namespace {

std::uint32_t by_tables(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
  return static_cast<std::uint32_t>(
      crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

#if defined(__x86_64__)
#define ELBEAM_TARGET __attribute__((target("pclmul,sse4.1")))

// Remainders of powers of x modulo the polynomial, bit-reflected: what moves 128 bits of the
// message by 4 * 128 and by 128 bits to where the next block is added.
constexpr long long kFold512Low = 0x154442bd4;
constexpr long long kFold512High = 0x1c6e41596;
constexpr long long kFold128Low = 0x1751997d0;
constexpr long long kFold128High = 0x0ccaa009e;

ELBEAM_TARGET inline __m128i load(const std::byte* at) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

ELBEAM_TARGET inline __m128i fold(__m128i value, __m128i factors, __m128i next) noexcept {
  const __m128i low = _mm_clmulepi64_si128(value, factors, 0x00);
  const __m128i high = _mm_clmulepi64_si128(value, factors, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

// At least 64 bytes. What 512 bits were folded to is a message of 16 bytes with the same
// remainder, which the tables finish together with the bytes behind the last whole block.
ELBEAM_TARGET std::uint32_t by_folding(std::uint32_t crc,
                                       std::span<const std::byte> bytes) noexcept {
  const __m128i by512 = _mm_set_epi64x(kFold512High, kFold512Low);
  const __m128i by128 = _mm_set_epi64x(kFold128High, kFold128Low);
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size() - 64;
  __m128i a = _mm_xor_si128(load(at), _mm_cvtsi32_si128(static_cast<int>(~crc)));
  __m128i b = load(at + 16);
  __m128i c = load(at + 32);
  __m128i d = load(at + 48);
  at += 64;
  for (; left >= 64; left -= 64, at += 64) {
    a = fold(a, by512, load(at));
    b = fold(b, by512, load(at + 16));
    c = fold(c, by512, load(at + 32));
    d = fold(d, by512, load(at + 48));
  }
  a = fold(fold(fold(a, by128, b), by128, c), by128, d);
  for (; left >= 16; left -= 16, at += 16) a = fold(a, by128, load(at));
  alignas(16) std::byte folded[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(folded), a);
  // The start value is in the message already: ~0 takes zlib's own out again.
  return by_tables(by_tables(~std::uint32_t{0}, folded), {at, left});
}
#undef ELBEAM_TARGET

bool can_fold() noexcept {
  return __builtin_cpu_supports("pclmul") != 0 && __builtin_cpu_supports("sse4.1") != 0;
}
#endif

}  // namespace

std::uint32_t crc32(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
#if defined(__x86_64__)
  static const bool folds = can_fold();
  if (folds && bytes.size() >= 64) return by_folding(crc, bytes);
#endif
  return by_tables(crc, bytes);
}

}  // namespace elbeam::archive
