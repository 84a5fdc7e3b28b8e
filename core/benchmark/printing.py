"""What `bench` found, as a table to print: no torch, as the command line does not load it."""

N_TRACED = 10  # training steps of a trace
TITLES = {"train": "training, end to end", "train_bound": "training, compute only", "plain": "training, plain PyTorch",
          "embed": "embedding, end to end", "embed_bound": "embedding, forward only"}


def table(timed: dict) -> str:
    """Speeds, ratios and goals, a line each, and below them what was timed on which machine; of what `bench` found."""
    machine, case, speeds = timed["machine"], timed["case"], timed["images_per_second"]
    lines = [["what", "images/s", "ratio", "range", "goal", ""]]
    for name, speed in speeds.items():
        ratio = timed["ratios"].get(name)
        cells = ["", "", "", ""]
        if ratio:
            goal = "" if ratio["goal"] is None else f"{ratio['goal']:.2f}"
            cells = [f"{ratio['median']:.3f}", f"{ratio['low']:.3f} to {ratio['high']:.3f}", goal,
                     f"{TITLES[ratio['of']]} ÷ {TITLES[ratio['to']]}"]
        lines.append([TITLES[name], f"{speed:,.1f}", *cells])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = ["  ".join(cell.rjust(width) if 0 < column < 5 else cell.ljust(width)
                      for column, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]
    text.insert(1, "  ".join("─" * width for width in widths[:5]))
    text += [f"left out: {TITLES[name]} ({reason})" for name, reason in timed["left_out"].items()]
    text.append(f"{case['encoder']} at {case['image_size']} px, {case['objective']}, batch {case['batch']}, "
                f"{case['precision']}{', compiled' if case['compile'] else ''}; {case['images']:,} images; medians of "
                f"{timed['rounds']} round{'s' if timed['rounds'] > 1 else ''}, ratios taken within a round")
    text.append(f"{machine['device']}, {machine['cores']} cores, torch {machine['torch']}, Python {machine['python']}")
    return "\n".join(text)


def operators(heaviest: list[dict], path: str) -> str:
    """The heaviest operators of a trace, a line each; `path` is the trace's file."""
    lines = [f"{path}: {N_TRACED} training steps; the heaviest operators, ms a step by their own, calls a step"]
    lines += [f"{item['ms']:10.2f}  {100 * item['share']:4.1f} %  {item['calls']:6.0f}  {item['name']}" for item in heaviest]
    return "\n".join(lines)
