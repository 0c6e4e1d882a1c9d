//! The distance kernels from the cache: per metric, dimension and instruction set, four rows in order and scattered.
//!
//! 64 KiB of rows stay in the second-level cache, so this is arithmetic and loading, not memory: what a batch of queries
//! sees. Throughput counts the bytes of the rows.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use volley_benches::vectors::Vectors;
use volley_index::{DistanceKernel, F32Kernel, InstructionSet, Matrix, Metric, Residence};

const ROW_BYTES: usize = 64 << 10;

fn kernels(criterion: &mut Criterion) {
    for metric in Metric::ALL {
        let mut group = criterion.benchmark_group(metric.name());
        for dim in [50, 128, 384, 784, 1536] {
            let count = ROW_BYTES / (dim * size_of::<f32>());
            let (rows, query) = (Vectors::random(count, dim), Vectors::random(1, dim));
            let Ok(matrix) = Matrix::new(&rows.data, dim) else { continue };
            let scattered: Vec<u32> = (0..count as u32).map(|row| row * 7 % count as u32).collect();
            let mut out = vec![0.0; count];
            group.throughput(Throughput::Bytes((count * dim * size_of::<f32>()) as u64));
            for instructions in InstructionSet::ALL {
                let Some(kernel) = F32Kernel::with_instructions(metric, instructions) else { continue };
                let query = kernel.prepare(&query.data);
                group.bench_function(BenchmarkId::new(format!("{instructions}/range"), dim), |bencher| {
                    bencher.iter(|| kernel.range(black_box(&query), matrix, 0..count, Residence::Cache, &mut out));
                });
                group.bench_function(BenchmarkId::new(format!("{instructions}/gather"), dim), |bencher| {
                    bencher.iter(|| kernel.gather(black_box(&query), matrix, &scattered, Residence::Cache, &mut out));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
