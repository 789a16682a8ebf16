// Fills the tables of the instruction set that the including isa_*.cpp file names.
#pragma once

#include "kernels/cpu/gemm_body.hpp"
#include "kernels/cpu/int8_body.hpp"
#include "kernels/cpu/row_body.hpp"
#include "kernels/kernels.hpp"

namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE {

template <typename T>
static void fill(KernelTable<T>& table) {
  table.lanes = Simd<T>::kLanes;
  table.panel_width = ELBEAM_PANEL_VECTORS * Simd<T>::kLanes;
  table.pack_panels = pack_panels<T>;
  table.gemm_packed = gemm_packed<T>;
  table.gemm_nn = gemm_nn<T>;
  table.gemm_nt = gemm_nt<T>;
  table.layer_norm = layer_norm<T>;
  table.softmax = softmax<T>;
  table.log_softmax = log_softmax<T>;
  table.attend = attend<T>;
}

void fill_table(KernelTable<float>& table);
void fill_table(KernelTable<double>& table);
void fill_table(KernelTable<float>& table) {
  fill(table);
  fill_int8(table);
}
void fill_table(KernelTable<double>& table) { fill(table); }

}  // namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE
