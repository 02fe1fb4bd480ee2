import torch

from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.audio.segments import phone_places
from tests.made import Tones, spell


def test_moments_are_every_20_ms_where_a_phone_is_known_or_evenly_many():
    data = AudioData(Tones(), max_seconds=0.6, crop_seconds=0.5)
    data.setup()
    everything = phone_places(data.train_set)
    expected = []
    for position, number in enumerate(data.train_set.chosen.tolist()):
        ends, phones = spell(number)
        samples = min(int(ends[-1] * 16000), 9600)
        for sample in range(160, samples // 320 * 320, 320):
            phone = next(phone for end, phone in zip(ends, phones, strict=True) if sample / 16000 < end)
            expected.append((position, sample, phone))
    assert [tuple(each) for each in zip(*(values.tolist() for values in everything), strict=True)] == expected
    few = everything.spread(100)
    assert len(few.labels) == 100 and len(few.examples.unique()) == len(data.train_set)
    assert set(zip(*(values.tolist() for values in few), strict=True)) < set(expected)
    places, rows = everything.of(torch.tensor([4, 1, 3]))
    assert [(row, *expected[place]) for place, row in zip(places.tolist(), rows.tolist(), strict=True)] == [
        (row, *each) for row, wanted in enumerate((4, 1, 3)) for each in expected if each[0] == wanted
    ]
