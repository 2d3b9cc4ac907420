"""`katib completion`: the script that has a shell complete commands, options and names."""

import click


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    r"""Print a script that completes commands, options, and names of Experiments and Trials.

    \b
      eval "$(katib completion bash)"                                  # in ~/.bashrc
      eval "$(katib completion zsh)"                                   # in ~/.zshrc
      katib completion fish > ~/.config/fish/completions/katib.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    click.echo(found(ctx.find_root().command, {}, "katib", "_KATIB_COMPLETE").source())
