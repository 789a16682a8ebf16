// The safetensors format: eight bytes of length, a JSON header, the numbers. Read as data.
#pragma once

#include "archive/torch_values.hpp"

#include <cstddef>
#include <span>

namespace elbeam::archive {

// The tensors of a whole file, under its own names. Strict: the header fits into the file and into
// limits::kMaxConfigBytes and names nothing twice; every tensor has exactly the bytes that type and
// shape ask for; together they cover the numbers without overlap or gap. Throws Error: kFormat,
// kIntegrity (offsets, sizes), kLimit, kUnsupported (an element type that no model here has).
TensorMap read_safetensors(const MappedFile& file);
// Its JSON header. Throws Error as read_safetensors() does for one that does not fit.
std::span<const std::byte> safetensors_header(const MappedFile& file);

}  // namespace elbeam::archive
