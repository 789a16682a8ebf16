// The parts of products.cpp that async.cpp needs.
#pragma once

namespace elbeam::kernels::emulated {

void begin_products_of_cluster();
void check_products_done();  // stops a thread that leaves with products under way

}  // namespace elbeam::kernels::emulated
