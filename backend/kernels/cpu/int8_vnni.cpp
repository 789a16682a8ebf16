// The 8-bit product with AVX-512's own instruction for it; see simd.hpp.
#define ELBEAM_ISA_NAMESPACE isa_vnni
#define ELBEAM_VECTOR_BYTES 64
#define ELBEAM_INT8_DOT 1
#define ELBEAM_PANEL_VECTORS 4

#include "kernels/cpu/int8_body.hpp"

namespace elbeam::kernels::isa_vnni {

void fill_table(KernelTable<float>& table);
void fill_table(KernelTable<float>& table) { fill_int8(table); }

}  // namespace elbeam::kernels::isa_vnni
