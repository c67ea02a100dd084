"""Numbers to Markdown."""
import statistics


def print_row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def print_table_head(title, note, columns):
    print(f"\n## {title}\n")
    if note:
        print(note + "\n")
    print_row(columns)
    print_row(["---"] * len(columns))


def cell(values, form="{:.1f}"):
    """The median, with the least and the most where it was measured more than once."""
    if not values:
        return "–"
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return f"{middle} (once)"
    return f"{middle} ({form.format(min(values))}–{form.format(max(values))})"
