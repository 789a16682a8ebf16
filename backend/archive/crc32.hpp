// CRC-32 of zip (ISO 3309), fast enough to check gigabytes of weights at every start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace elbeam::archive {

// Continues `crc` (0 at the beginning) over the bytes, as zlib's crc32() does. Multiplies without
// carries where the processor can (V. Gopal et al., "Fast CRC Computation for Generic Polynomials
// Using PCLMULQDQ Instruction", 2009), several times as fast as tables.
std::uint32_t crc32(std::uint32_t crc, std::span<const std::byte> bytes) noexcept;

}  // namespace elbeam::archive
