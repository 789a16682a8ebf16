// The kernels for one instruction set; see simd.hpp.
#define ELBEAM_ISA_NAMESPACE isa_avx2
#define ELBEAM_VECTOR_BYTES 32
#define ELBEAM_INT8_DOT 0
#define ELBEAM_PANEL_VECTORS 2

#include "kernels/cpu/isa_tables.hpp"
