import math
import pickle
from copy import deepcopy

import pytest
import torch
from lightly.models.utils import update_momentum
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import MLP
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.parts.teacher import Teacher, cosine_momentum, in_groups, linear_momentum


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))


def train(student: nn.Module) -> None:
    """Other weights, other statistics."""
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter))
    student(torch.randn(16, 4) * 3 + 1)


def test_every_weight_is_the_moving_average_in_plain_loops():
    torch.manual_seed(0)
    student = network()
    teacher, expected = Teacher(student, 0.9), [p.detach().clone() for p in student.parameters()]
    statistics = teacher.module[1].running_mean.clone()
    for _ in range(3):
        train(student)
        teacher.follow(0.5)
        expected = [0.9 * old + 0.1 * new.detach() for old, new in zip(expected, student.parameters(), strict=True)]
    for mine, value in zip(teacher.module.parameters(), expected, strict=True):
        torch.testing.assert_close(mine, value)
    assert torch.equal(teacher.module[1].running_mean, statistics)  # batch norm keeps its own


def test_weights_follow_as_lightlys_do():
    torch.manual_seed(0)
    student = network()
    ours, theirs = Teacher(student, 0.99), deepcopy(student)
    train(student)
    ours.follow(0.0)
    update_momentum(student, theirs, 0.99)
    for mine, other in zip(ours.module.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_it_starts_equal_is_never_trained_and_leaves_its_student_alone():
    torch.manual_seed(0)
    student = network().eval()
    teacher = Teacher(student, 0.5)
    inputs = torch.randn(5, 4)
    assert torch.equal(teacher(inputs), student(inputs))
    assert not teacher(inputs.requires_grad_()).requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())
    train(student)
    before = deepcopy(student.state_dict())
    teacher.follow(0.0)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_batch_norm_sees_the_batch_in_training_and_its_own_statistics_in_evaluation():
    torch.manual_seed(0)
    student, inputs = nn.Sequential(nn.BatchNorm1d(4)), torch.randn(64, 4) * 3 + 1
    teacher = Teacher(student, 0.5)
    made = teacher(inputs)
    torch.testing.assert_close(made.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    assert torch.equal(student[0].running_mean, torch.zeros(4))  # the student has seen nothing
    torch.testing.assert_close(teacher.module[0].running_mean, 0.1 * inputs.mean(0))
    wanted = (inputs - teacher.module[0].running_mean) / (teacher.module[0].running_var + 1e-5).sqrt()
    torch.testing.assert_close(teacher.eval()(inputs), wanted)


def test_its_schedule_is_a_function_of_the_part_of_the_run_that_is_over():
    student = nn.Linear(2, 1, bias=False)
    for progress in (0.0, 0.3, 1.0):
        teacher, start = Teacher(student, lambda over: over**2), student.weight.detach().clone()
        with torch.no_grad():
            student.weight.add_(1.0)
        teacher.follow(progress)
        torch.testing.assert_close(teacher.module.weight, start + 1 - progress**2)


def test_a_student_is_no_part_of_its_teacher_and_a_copy_of_both_keeps_them_together():
    student = nn.Linear(2, 1)
    teacher = Teacher(student, 0.0)
    assert set(teacher.state_dict()) == {"module.weight", "module.bias"}
    both = nn.ModuleDict({"student": student, "teacher": teacher})
    for copy in (deepcopy(both), pickle.loads(pickle.dumps(both))):
        with torch.no_grad():
            copy["student"].weight.add_(1.0)
        copy["teacher"].follow(0.0)
        assert torch.equal(copy["teacher"].module.weight, student.weight + 1)
    assert torch.equal(teacher.module.weight, student.weight)


class Nested(Method):
    """A method with one teacher of its own and one within a part."""

    def __init__(self) -> None:
        super().__init__(MLP([4], 1, 4))
        self.head = nn.Linear(4, 2)
        self.target = Teacher(self.encoder, 0.5)
        self.part = nn.ModuleList([Teacher(self.head, 0.25)])

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.head(self.encoder(batch.inputs).pooled).sum()}


@torch.no_grad()
def test_after_a_step_every_teacher_in_a_method_follows():
    torch.manual_seed(0)
    model = Nested()
    for parameter in (*model.encoder.parameters(), *model.head.parameters()):
        parameter.add_(1.0)
    model.after_step()
    for mine, student in zip(model.target.parameters(), model.encoder.parameters(), strict=True):
        torch.testing.assert_close(mine, student - 0.5)
    for mine, student in zip(model.part.parameters(), model.head.parameters(), strict=True):
        torch.testing.assert_close(mine, student - 0.25)


def test_groups_are_normalised_each_by_itself_and_come_back_in_order():
    torch.manual_seed(0)
    norm, examples = nn.BatchNorm1d(4), torch.randn(12, 4)
    made = in_groups(norm, 3, examples)
    for i in range(12):
        group = examples[i % 3 :: 3]
        expected = (examples[i] - group.mean(0)) / (group.var(0, unbiased=False) + norm.eps).sqrt()
        torch.testing.assert_close(made[i], expected, atol=1e-5, rtol=1e-5)


def test_unequal_groups_are_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"batch of 10 .* 3 equal groups"):
        in_groups(nn.Identity(), 3, torch.zeros(10, 2))


def test_the_momentum_rises_to_one_along_half_a_cosine():
    assert cosine_momentum(0.99, 0.0) == pytest.approx(0.99)
    assert cosine_momentum(0.99, 0.5) == pytest.approx(0.995)
    assert cosine_momentum(0.99, 1.0) == 1.0
    rising = [cosine_momentum(0.9, step / 50) for step in range(51)]
    assert rising == sorted(rising)
    assert rising[10] == pytest.approx(1 - 0.1 * (math.cos(math.pi * 0.2) + 1) / 2)


def test_a_teacher_in_evaluation_mode_has_no_dropout_in_training_and_the_students_statistics():
    torch.manual_seed(0)
    student, inputs = network(), torch.randn(32, 4)
    teacher = Teacher(student, 0.9, eval_mode=True)
    train(student)
    teacher.follow(0.0)
    teacher.train()
    modes = {name: part.training for name, part in teacher.named_modules()}
    made = teacher(inputs)
    assert {name: part.training for name, part in teacher.named_modules()} == modes and all(modes.values())
    assert not made.requires_grad
    assert torch.equal(teacher.module[1].running_mean, student[1].running_mean)  # and the forward pass changed nothing
    weights = [*teacher.module.parameters()]
    hidden = inputs @ weights[0].T + weights[1]
    scaled = (hidden - student[1].running_mean) / (student[1].running_var + student[1].eps).sqrt()
    torch.testing.assert_close(made, (scaled * weights[2] + weights[3]) @ weights[4].T + weights[5])
    assert torch.equal(made, teacher(inputs))
    assert not torch.equal(Teacher(student, 0.9).train()(inputs), made)  # without it there is dropout


def test_shared_parts_are_the_students_at_once_and_the_others_follow():
    torch.manual_seed(0)
    student = nn.ModuleDict({"front": nn.Linear(3, 3), "front_end": nn.Linear(3, 3), "last": nn.Linear(3, 2)})
    teacher, before = Teacher(student, 0.75, shared=["front", "last.bias"]), deepcopy(student.state_dict())
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter))
    teacher.follow(0.5)
    after, now = teacher.module.state_dict(), student.state_dict()
    for name, value in after.items():
        if name in ("front.weight", "front.bias", "last.bias"):
            assert torch.equal(value, now[name])
        else:
            torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * now[name])


def test_the_momentum_rises_along_a_line_over_a_part_of_the_run_and_stays():
    assert linear_momentum(0.9, 0.99, 0.4, 0.0) == pytest.approx(0.9)
    assert linear_momentum(0.9, 0.99, 0.4, 0.1) == pytest.approx(0.9225)
    assert linear_momentum(0.9, 0.99, 0.4, 0.2) == pytest.approx(0.945)
    assert linear_momentum(0.9, 0.99, 0.4, 0.4) == linear_momentum(0.9, 0.99, 0.4, 1.0) == 0.99
    assert linear_momentum(0.9, 0.99, 0.0, 0.0) == 0.99
