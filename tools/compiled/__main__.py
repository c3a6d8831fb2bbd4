"""What a training step would take on an H100, compiled for one on any machine and not run.

    python -m tools.compiled 130m --optimizer adamw

Prints memory, the bytes that a step's kernels move with the time that they take at the least, and how many
FLOPs of matrix products the gradient executes for one of the model's. Compiling takes minutes on two cores.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark import scales, steps
from benchmark.arguments import Parser, existing_folder, one_of, whole
from benchmark.train import parameters
from tools.compiled import h100_jax, traffic


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of one step; returns the exit status."""
    parser = Parser(prog="python -m tools.compiled", description=__doc__)
    parser.add_argument("scale", metavar="SCALE", help=f"one of {', '.join(scales.SCALES)}")
    parser.add_argument("--optimizer", default="adamw", metavar="NAME", help="(default: adamw)")
    parser.add_argument("--batch", type=whole, metavar="N", help="sequences (default: the scale's)")
    parser.add_argument(
        "--precision",
        type=one_of("bfloat16", "float32"),
        default="bfloat16",
        metavar="P",
        help="bfloat16 (default) or float32",
    )
    parser.add_argument(
        "--compiler",
        type=existing_folder,
        metavar="DIR",
        help="folder with the CUDA compiler, if not installed",
    )
    parser.add_argument(
        "--devices", type=whole, default=1, metavar="N", help="H100s of one node that share the step"
    )
    parser.add_argument("--kernels", type=whole, default=0, metavar="N", help="list those that move most")
    parser.add_argument("--hlo", type=Path, metavar="FILE", help="keep the compiled program's text")
    parser.add_argument("--keep", action="store_true", help="keep the figures, which prices rest on")
    args = parser.parse_args(arguments)
    if args.keep and args.devices > 1:
        parser.error("--keep is for the step of one device: prices rest on it")
    try:
        scale = scales.get(args.scale)
        h100_jax.prepare(args.compiler)  # before jax is imported, by an optimizer's file or here
        from sweeps.search.contestants import at_start, contestants

        optimizer = at_start(contestants((args.optimizer,))[0], scale)
        from tools.compiled import step_jax

        h100_jax.devices(args.devices)
    except ValueError as error:
        parser.error(str(error))
    h100_jax.allow_cudnn()
    batch = args.batch or scale.batch_size
    attention = "cudnn" if scale.deep and args.precision == "bfloat16" else "plain"
    place = f"{scale.name}, {optimizer.info.title}, batch {batch} x {scale.seq_len}, {args.precision}"
    print(f"compiling {place} (minutes) ...", file=sys.stderr)
    program = step_jax.compiled(optimizer, scale, batch, args.precision, attention, args.devices)
    text = program.as_text()
    if args.hlo:
        args.hlo.write_text(text, encoding="utf-8")
    found = traffic.kernels(text)
    moved = sum(kernel.moved for kernel in found)
    model = parameters.flops_per_token(scale) * batch * scale.seq_len
    executed = step_jax.gradient_flops(scale, batch, args.precision, attention)  # of all devices together
    gib = step_jax.memory(program)
    share = f", each of {args.devices}" if args.devices > 1 else ""
    print(f"{place}; compiled for H100, not run{share}")
    print(
        f"memory: {gib['peak']:.1f} GiB at the peak; {gib['arguments']:.1f} of arguments,"
        f" {gib['temporaries']:.1f} of temporaries"
    )
    print(f"moved: {moved / 1e12:.2f} TB a step, at least {moved / steps.BANDWIDTH:.2f} s")
    print(f"FLOPs of products: {executed:.3g} executed, {model:.3g} of the model, {executed / model:.2f}")
    square = f"{scale.seq_len},{scale.seq_len}]"
    print(f"attention: {attention}; buffers [..., {square} of it: {'some' if square in text else 'none'}")
    if args.devices > 1:
        print(f"exchanges in the program: {traffic.exchanges(text)}")
    if args.keep:
        command = f"python -m tools.compiled {scale.name} --optimizer {args.optimizer} --keep"
        kernels = sum(kernel.runs for kernel in found)
        # the products of the gradient alone: those of the rule are priced by its extra_flops
        counted = (executed, moved, kernels, gib["peak"] * step_jax.GIB)
        row = (scale.name, args.optimizer, args.precision, steps.COMPILED)
        steps.keep(steps.Step(*row, *counted, command))
    for one in found[: args.kernels]:
        print(f"{one.moved / 1e9:8.1f} GB x{one.runs:<6} {one.name[:32]:32} {one.type[:48]:48} {one.origin}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
