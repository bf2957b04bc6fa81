//! A stand-in for the CUDA driver, cuDNN and cuBLAS.
