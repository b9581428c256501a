//! Reading a runbook and planning it: 200 steps are to take less than 20 ms together; 10,000 are to be possible.

mod tools;

use divan::Bencher;
use tools::Shape;

fn main() {
    divan::main();
}

const SHAPES: [Shape; 5] = [Shape::Chain, Shape::Layers, Shape::FanOut(8), Shape::Listed(8), Shape::Random];

#[divan::bench(args = SHAPES)]
fn parse_200(bencher: Bencher<'_, '_>, shape: &Shape) {
    let text = tools::text(*shape, 200);
    bencher.bench(|| tools::parse(&text));
}

#[divan::bench(args = SHAPES)]
fn plan_200(bencher: Bencher<'_, '_>, shape: &Shape) {
    let runtime = tools::runtime();
    let procedure = tools::parse(&tools::text(*shape, 200));
    bencher.with_inputs(|| procedure.clone()).bench_values(|procedure| runtime.block_on(tools::plan(procedure)));
}

/// The bound is on this one.
#[divan::bench(args = SHAPES)]
fn parse_and_plan_200(bencher: Bencher<'_, '_>, shape: &Shape) {
    let runtime = tools::runtime();
    let text = tools::text(*shape, 200);
    bencher.bench(|| runtime.block_on(tools::plan(tools::parse(&text))));
}

#[divan::bench(args = SHAPES, sample_count = 5, sample_size = 1)]
fn parse_10000(bencher: Bencher<'_, '_>, shape: &Shape) {
    let text = tools::text(*shape, 10_000);
    bencher.bench(|| tools::parse(&text));
}

#[divan::bench(args = SHAPES, sample_count = 5, sample_size = 1)]
fn plan_10000(bencher: Bencher<'_, '_>, shape: &Shape) {
    let runtime = tools::runtime();
    let procedure = tools::parse(&tools::text(*shape, 10_000));
    bencher.with_inputs(|| procedure.clone()).bench_values(|procedure| runtime.block_on(tools::plan(procedure)));
}
