"""What a trainer was told under an old name still holds."""

import pytest

import vi


def test_the_old_name_of_the_kernels_is_followed_and_said():
    """For one version. Caught: an old configuration that chooses nothing."""
    with pytest.warns(
        FutureWarning, match="TrainerSettings.products is now TrainerSettings.linear"
    ):
        settings = vi.TrainerSettings(products="torch")  # pyright: ignore[reportCallIssue]
    assert settings.linear_kernels == "torch"
    assert vi.TrainerSettings().linear_kernels == "auto"
